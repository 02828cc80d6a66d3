"""Read the quotas of instance types from the table, and from Service Quotas when the table's are old."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from contract.pool.pool_records import AccountQuotas
from contract.pool.quotas import Quotas, instance_quotas
from contract.problems import Problem
from contract.table.records import record_time
from lambdas.admission.quotas import InstanceNeed, check_quotas
from lambdas.stage.observability import logger
from lambdas.stage.tables.pool_table import PoolTable

PLAN_AGE = timedelta(days=1)
"""Age at which a plan reads the account's quotas again."""
SWEEP_AGE = timedelta(hours=1)
"""Age at which the schedule does, so that a raised quota is used soon."""
_SERVICE = "sagemaker"


class InstanceQuotas:
    """The quotas of a stage. What Service Quotas does not tell is not limited."""

    def __init__(
        self,
        pools: PoolTable,
        declared: Mapping[str, int],
        service: Callable[[], Any],
        clock: Callable[[], datetime],
        *,
        writes: bool = True,
    ) -> None:
        """`service` returns a client of Service Quotas. With `writes`, what it says is kept in the table."""
        self._pools = pools
        self._declared = declared
        self._service = service
        self._clock = clock
        self._writes = writes
        self._unwritten: AccountQuotas | None = None
        """What was read last and is not in the table."""

    def known(self, account: AccountQuotas | None) -> Quotas:
        """Return the quotas as the setting has them, and the table's as they were read."""
        return Quotas(self._declared, account.instances if account is not None else {})

    def problems_of(self, needs: Sequence[InstanceNeed]) -> list[Problem]:
        """Return the problems of planned jobs. A quota may have been raised since it was last read."""
        found = check_quotas(needs, self.fresh(PLAN_AGE))
        return check_quotas(needs, self.fresh()) if found else []

    def fresh(self, age: timedelta = timedelta()) -> Quotas:
        """Return the quotas after reading those of the account, if the table's are older than `age`.

        Best effort: without Service Quotas, those of the table count on.
        """
        now = self._clock()
        known = [quotas for quotas in (self._pools.quotas(), self._unwritten) if quotas is not None]
        found = max(known, key=lambda quotas: quotas.read_at, default=None)
        # A time from the future was written by a clock that was wrong.
        if found is not None and timedelta() <= now - datetime.fromisoformat(found.read_at) < age:
            return Quotas(self._declared, found.instances)
        try:
            account = instance_quotas(_all_quotas(self._service()))
        except (ClientError, BotoCoreError) as error:
            logger.warning("the account's quotas could not be read", why=str(error))
            return self.known(found)
        read = AccountQuotas(record_time(now), account)
        if self._writes:
            self._pools.put_quotas(read)
        else:
            self._unwritten = read
        return Quotas(self._declared, account)


def _all_quotas(client: Any) -> Iterator[tuple[str, float]]:
    """Yield SageMaker's quotas: AWS's defaults, then the account's own values."""
    for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
        for page in client.get_paginator(operation).paginate(ServiceCode=_SERVICE, PaginationConfig={"PageSize": 100}):
            yield from ((quota["QuotaName"], quota["Value"]) for quota in page["Quotas"] if "Value" in quota)
