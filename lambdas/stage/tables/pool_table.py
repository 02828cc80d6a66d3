"""The pool's items: leases of instances, what each execution holds, and when the next job may be created.

A lease and the count of its instances are written and deleted in one transaction, on condition that the
pool is as it was read. So whatever is killed, doubled or late, the count is the sum of the leases.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contract.pool import pool_records
from contract.pool.pool_records import AccountQuotas, JobKind, Lease, Pool
from contract.table import records
from contract.table.records import JobRecord
from lambdas.admission.decisions import Ask, acquire, leave, release
from lambdas.errors import PoolContendedError
from lambdas.stage.tables.table import NEW, Table

_TRIES = 6
_SLOT_TRIES = 3
"""Tries that take a start slot with the lease."""
_LONGEST_PAUSE = 0.5
"""Longest pause between two tries, in seconds."""
_LONGEST_QUEUE_MS = 10_000_000
"""Farthest start slot that is believed, in milliseconds: a later one was written with a wrong time."""


PoolName = tuple[JobKind, str]
"""Kind of job and instance type."""


@dataclass(frozen=True)
class LeaseState:
    """A lease, and the pool that it is or may be from."""

    lease: Lease | None
    pool: Pool
    quotas: AccountQuotas | None = None
    """The account's quotas, if they were read and are known."""


@dataclass(frozen=True)
class StartSlot:
    """A moment to create a job at, which can be taken as long as nobody else has taken it."""

    wait_ms: int
    """Time until then, in milliseconds."""
    write: dict[str, Any]
    """The write that takes it, for a transaction."""
    now_ms: int
    interval_ms: int
    """Time between two slots."""


@dataclass(frozen=True)
class ExpectedPool:
    """A pool, and what else an attempt needs to know before it is opened, as they were read with its job.

    The lease of the attempt was not read: its write fails if there is one.
    """

    name: PoolName
    state: LeaseState
    next_start_ms: int | None
    """Next free start slot of the kind of job, in epoch milliseconds; None if none was ever taken."""


@dataclass(frozen=True)
class Admitted:
    """The job has a lease."""

    lease: Lease
    is_opened: bool = False
    """Whether the writes that open the attempt were made with it."""
    slot: StartSlot | None = None
    """The start slot, if it was taken with it."""


@dataclass(frozen=True)
class NotAdmitted:
    """The job gets no instances now."""

    held: int
    """Number of instances that the executions of the stage hold."""
    waiting: int
    """Number of executions that wait for instances of this type."""
    granted_at: int
    """When the job's execution last got instances of this type, in epoch seconds; 0 if it is unknown."""


class PoolTable(Table):
    """Reads and writes leases and pools. All writes are idempotent."""

    def __init__(self, dynamodb: Any, table_name: str, pause: Callable[[float], None] = time.sleep) -> None:
        super().__init__(dynamodb, table_name)
        self._pause = pause
        self._expected: PoolName | None = None
        """The pool of the last job of this process that got instances: mostly that of the next one too."""
        self._slot_was_free = False
        """Whether the last job of this process could be created at once."""

    # ---- leases ------------------------------------------------------------------------------

    def find_lease(self, sagemaker_job_name: str) -> Lease | None:
        return self._get(Lease, pool_records.lease_key(sagemaker_job_name))

    def leases(self) -> Iterator[Lease]:
        """Yield every lease."""
        for item in self._query(pool_records.LEASE_SORT_PREFIX):
            yield records.read_item(Lease, item)

    def pools(self) -> Iterator[Pool]:
        """Yield every pool that was ever used."""
        for item in self._query(pool_records.INSTANCES_SORT_PREFIX):
            yield records.read_item(Pool, item)

    def lease_state(self, sagemaker_job_name: str, pool: PoolName, *, with_quotas: bool = False) -> LeaseState:
        """Return a lease with its pool, read in one request."""
        keys = [pool_records.lease_key(sagemaker_job_name), pool_records.pool_key(*pool)]
        lease, found, *quotas = self._get_each(*keys, *([pool_records.QUOTAS_KEY] if with_quotas else []))
        return LeaseState(
            records.read_item(Lease, lease) if lease else None,
            records.read_item(Pool, found) if found else Pool(*pool),
            next((records.read_item(AccountQuotas, item) for item in quotas if item), None),
        )

    def expected_keys(self) -> list[dict[str, str]]:
        """Return the keys of what `expected_pool` needs, to be read with other items; none for the first job."""
        if self._expected is None:
            return []
        kind, _ = self._expected
        return [pool_records.pool_key(*self._expected), dict(pool_records.QUOTAS_KEY), pool_records.starts_key(kind)]

    def expected_pool(self, items: Sequence[dict[str, Any] | None]) -> ExpectedPool | None:
        """Return the pool that the next job will probably need, from the items of `expected_keys`."""
        if self._expected is None or not items:
            return None
        pool, quotas, starts = items
        state = LeaseState(
            None,
            records.read_item(Pool, pool) if pool else Pool(*self._expected),
            records.read_item(AccountQuotas, quotas) if quotas else None,
        )
        return ExpectedPool(self._expected, state, int(starts["next_ms"]) if starts else None)

    def held_keys(self, sagemaker_job_name: str, pool: PoolName) -> list[dict[str, str]]:
        """Return the keys of what `release_writes` needs, to be read with other items."""
        return [pool_records.lease_key(sagemaker_job_name), pool_records.pool_key(*pool)]

    def release_writes(self, items: Sequence[dict[str, Any] | None], name: PoolName) -> list[dict[str, Any]] | None:
        """Return the writes that release a lease, from the items of `held_keys`, for a transaction.

        There are none if it was released already. Return None if it is a lease from another pool than expected.
        """
        found, pool = items
        if found is None:
            return []
        lease = records.read_item(Lease, found)
        if pool is None or (lease.kind, lease.instance_type) != name:
            return None
        before = records.read_item(Pool, pool)
        return [self._delete(lease.sagemaker_job_name), self._replace(before, release(before, lease))]

    def acquire(
        self,
        ask: Ask,
        quota: int | None,
        job: JobRecord,
        state: LeaseState,
        opening: Sequence[dict[str, Any]] = (),
        *,
        slot: StartSlot | None = None,
    ) -> Admitted | NotAdmitted:
        """Give the job its lease, or return the one that it has, or note that it waits.

        `opening` are the writes that open the attempt, which has its lease in the same transaction then. The
        first tries take a start slot too: later ones do not wait for each other because of it.
        Nothing is given to a job that has changed since it was read. A job that lost against concurrent
        calls again and again is not admitted either.
        """
        lease, pool_name = ask.lease, (ask.lease.kind, ask.lease.instance_type)
        for number in range(_TRIES):
            if number:
                self._pause_before(number)
                if slot is not None and number < _SLOT_TRIES:
                    state, slot = self._state_with_slot(lease.sagemaker_job_name, pool_name, slot)
                else:
                    state, slot = self.lease_state(lease.sagemaker_job_name, pool_name), None
            if state.lease is not None:
                return Admitted(state.lease)
            admitted, after = acquire(state.pool, ask, quota)
            if admitted:
                self._expected = pool_name
                item = records.record_item(lease, pool_records.lease_key(lease.sagemaker_job_name), None)
                writes = [self._put_new(item), *(opening or [self._unchanged(job)]), *([slot.write] if slot else [])]
                if self._write(state.pool, after, *writes):
                    return Admitted(lease, is_opened=bool(opening), slot=slot)
            elif after == state.pool or self._write(state.pool, after):
                return _not_admitted(after, ask)
        state = self.lease_state(lease.sagemaker_job_name, pool_name)
        return Admitted(state.lease) if state.lease is not None else _not_admitted(state.pool, ask)

    def release(self, sagemaker_job_name: str, pool: PoolName | None = None) -> bool:
        """Delete a lease, and return whether there was one. To name its pool saves a request.

        Raises:
            PoolContendedError: when every try conflicted with a concurrent call.
        """
        for number in range(2 * _TRIES):
            self._pause_before(number)
            if pool is None:
                lease = self.find_lease(sagemaker_job_name)
                if lease is None:
                    return False
                pool = lease.kind, lease.instance_type
            state = self.lease_state(sagemaker_job_name, pool)
            if state.lease is None:
                return False
            if (state.lease.kind, state.lease.instance_type) != pool:
                pool = state.lease.kind, state.lease.instance_type
            elif self._write(state.pool, release(state.pool, state.lease), self._delete(sagemaker_job_name)):
                return True
        raise PoolContendedError(sagemaker_job_name)

    def leave(self, execution_id: str) -> None:
        """Give up the places of an execution that has ended. Best effort: places end by themselves too."""
        for pool in self.pools():
            after = leave(pool, execution_id)
            if after != pool:
                self._write(pool, after)

    # ---- quotas ------------------------------------------------------------------------------

    def quotas(self) -> AccountQuotas | None:
        return self._get(AccountQuotas, pool_records.QUOTAS_KEY)

    def put_quotas(self, quotas: AccountQuotas) -> None:
        self._put(records.record_item(quotas, dict(pool_records.QUOTAS_KEY), None))

    # ---- start slots -------------------------------------------------------------------------

    def start_slot(self, expected: ExpectedPool, now_ms: int, interval_ms: int) -> StartSlot:
        """Return the next start slot, if nobody takes it before. Slots are `interval_ms` apart."""
        return self._slot_after(expected.next_start_ms, expected.name[0], now_ms, interval_ms)

    def _slot_after(self, read: int | None, kind: JobKind, now_ms: int, interval_ms: int) -> StartSlot:
        """Return the slot that is next if the item is as it was read, with nothing read if there is none."""
        begins = read if read is not None and now_ms <= read <= now_ms + _LONGEST_QUEUE_MS else now_ms
        unchanged = "attribute_not_exists(next_ms)" if read is None else "next_ms = :read"
        write = {
            "TableName": self._table_name,
            "Key": pool_records.starts_key(kind),
            "UpdateExpression": "SET next_ms = :next",
            "ConditionExpression": unchanged,
            "ExpressionAttributeValues": {
                ":next": begins + interval_ms,
                **({} if read is None else {":read": read}),
            },
        }
        return StartSlot(begins - now_ms, {"Update": write}, now_ms, interval_ms)

    def _state_with_slot(
        self, sagemaker_job_name: str, pool: PoolName, slot: StartSlot
    ) -> tuple[LeaseState, StartSlot]:
        """Return a lease with its pool, and the next start slot, read in one request."""
        keys = self.held_keys(sagemaker_job_name, pool)
        lease, found, starts = self._get_each(*keys, pool_records.starts_key(pool[0]))
        state = LeaseState(
            records.read_item(Lease, lease) if lease else None,
            records.read_item(Pool, found) if found else Pool(*pool),
        )
        next_ms = int(starts["next_ms"]) if starts else None
        return state, self._slot_after(next_ms, pool[0], slot.now_ms, slot.interval_ms)

    def take_start_slot(self, kind: JobKind, now_ms: int, interval_ms: int) -> int:
        """Return in how many milliseconds a job of this kind may be created. Slots are `interval_ms` apart.

        Two conditional updates, of which one succeeds, and no read: hundreds of calls do not conflict. The one that
        succeeded for this process before comes first, and mostly does again.
        """
        values = {":interval": interval_ms, ":now": now_ms, ":latest": now_ms + _LONGEST_QUEUE_MS}
        later = ("SET next_ms = next_ms + :interval", "next_ms BETWEEN :now AND :latest", values)
        first = (
            "SET next_ms = :next",
            "attribute_not_exists(next_ms) OR NOT next_ms BETWEEN :now AND :latest",
            {":next": now_ms + interval_ms, ":now": now_ms, ":latest": now_ms + _LONGEST_QUEUE_MS},
        )
        for number in range(_TRIES):
            self._pause_before(number)
            for update, condition, arguments in (first, later) if self._slot_was_free else (later, first):
                try:
                    answer = self._dynamodb.update_item(
                        TableName=self._table_name,
                        Key=pool_records.starts_key(kind),
                        UpdateExpression=update,
                        ConditionExpression=condition,
                        ExpressionAttributeValues=arguments,
                        ReturnValues="UPDATED_NEW",
                    )
                except (
                    self._dynamodb.exceptions.ConditionalCheckFailedException,
                    # A transaction is taking it.
                    self._dynamodb.exceptions.TransactionConflictException,
                ):
                    continue
                self._slot_was_free = update == first[0]
                return int(answer["Attributes"]["next_ms"]) - interval_ms - now_ms
        return 0

    # ---- DynamoDB requests -------------------------------------------------------------------

    def _query(self, sort_prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table_name,
            KeyConditionExpression=f"{records.PARTITION_KEY} = :pool AND begins_with({records.SORT_KEY}, :prefix)",
            ExpressionAttributeValues={":pool": pool_records.POOL_PARTITION, ":prefix": sort_prefix},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    def _write(self, before: Pool, after: Pool, *writes: dict[str, Any]) -> bool:
        """Replace the pool, with other writes, in one transaction if it is as it was read. Return whether it was."""
        try:
            return self._write_all([*writes, self._replace(before, after)])
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            if "TransactionConflict" not in {reason.get("Code") for reason in error.response["CancellationReasons"]}:
                raise
            return False

    def _replace(self, before: Pool, after: Pool) -> dict[str, Any]:
        """Return the write that replaces the pool if it is as it was read."""
        item = records.record_item(
            replace(after, version=before.version + 1), pool_records.pool_key(after.kind, after.instance_type), None
        )
        condition: dict[str, Any] = {"ConditionExpression": NEW}
        if before.version:
            condition = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": before.version},
            }
        return {"Put": {"TableName": self._table_name, "Item": item, **condition}}

    def _put_new(self, item: dict[str, Any]) -> dict[str, Any]:
        return {"Put": {"TableName": self._table_name, "Item": item, "ConditionExpression": NEW}}

    def _delete(self, sagemaker_job_name: str) -> dict[str, Any]:
        key = pool_records.lease_key(sagemaker_job_name)
        there = f"attribute_exists({records.PARTITION_KEY})"
        return {"Delete": {"TableName": self._table_name, "Key": key, "ConditionExpression": there}}

    def _unchanged(self, job: JobRecord) -> dict[str, Any]:
        """Return the condition that the job is as it was read, so that a late call gets no lease for an old attempt."""
        return {
            "ConditionCheck": {
                "TableName": self._table_name,
                "Key": records.job_key(job.execution_id, job.job_id),
                "ConditionExpression": "#status = :status AND #attempt = :attempt",
                "ExpressionAttributeNames": {"#status": "status", "#attempt": "attempt"},
                "ExpressionAttributeValues": {":status": job.status.value, ":attempt": job.attempt},
            }
        }

    def _pause_before(self, number: int) -> None:
        if number:
            self._pause(random.uniform(0, min(_LONGEST_PAUSE, 0.02 * 2**number)))  # noqa: S311 - no secret


def _not_admitted(pool: Pool, ask: Ask) -> NotAdmitted:
    own = pool.shares.get(ask.lease.execution_id)
    return NotAdmitted(
        held=pool.held,
        waiting=sum(share.wants > 0 for share in pool.shares.values()),
        granted_at=own.granted_at if own is not None else 0,
    )
