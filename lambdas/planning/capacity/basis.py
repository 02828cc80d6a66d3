"""What the planner knows of the stage: estimates, prices, quotas, and the rate at which it creates jobs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contract.planner.estimates import Estimates, Samples
from contract.planner.prices import PriceTable, bundled_prices
from contract.planner.problem import pool_name
from contract.pool.pool_records import JobKind
from contract.pool.quota_settings import DEFAULT_JOB_STARTS_PER_SECOND
from contract.pool.quotas import Quotas
from contract.problems import InvalidInputError
from lambdas.planning.scoring.assignments import Assignment
from lambdas.stage.deployment import Deployment
from lambdas.stage.instance_quotas import PLAN_AGE
from lambdas.stage.observability import logger


@dataclass(frozen=True)
class PlanningBasis:
    """What an execution is planned with."""

    region: str
    estimates: Estimates = field(default_factory=Estimates)
    prices: PriceTable = field(default_factory=bundled_prices)
    quotas: Mapping[str, int] = field(default_factory=dict)
    """Instances that may run at once, by `pool_name`. What is missing has no known quota."""
    starts_per_second: float = DEFAULT_JOB_STARTS_PER_SECOND
    """SageMaker jobs that are created per second."""


def read_basis(
    deployment: Deployment, readers: Iterable[Assignment], instance_types: Iterable[str | None]
) -> PlanningBasis:
    """Return what the table knows, and documented defaults for the rest, and for items that cannot be read.

    `readers` are the models, and each fleet as one model, with their datasets. `instance_types` are
    those that their jobs may have, besides those of their records.
    """
    found = list(readers)
    types = {*instance_types, *(reader.version.compute.instance_type for reader in found)} - {None}
    return PlanningBasis(
        region=deployment.settings.key_arn.split(":")[3],
        estimates=Estimates(_samples(deployment, found)),
        prices=_prices(deployment),
        quotas=_quotas(deployment.quotas.fresh(PLAN_AGE), types),
        starts_per_second=deployment.settings.job_starts_per_second,
    )


def _samples(deployment: Deployment, readers: Iterable[Assignment]) -> Samples:
    found = list(readers)
    try:
        return deployment.estimates.read(
            dict.fromkeys(reader.version.spec.model_id for reader in found),
            dict.fromkeys(reader.dataset for reader in found),
        )
    except InvalidInputError:
        # Another release wrote an item, or somebody has changed one by hand.
        logger.exception("the estimates cannot be read: documented defaults apply")
        return Samples()


def _prices(deployment: Deployment) -> PriceTable:
    try:
        return deployment.table.prices() or bundled_prices()
    except InvalidInputError:
        logger.exception("the stage's prices cannot be read: costs are left out")
        return PriceTable("", "the stage's prices cannot be read: write them again with `fleetscore prices`")


def _quotas(quotas: Quotas, instance_types: Iterable[str | None]) -> dict[str, int]:
    known = {
        pool_name(name, spot=kind is JobKind.SPOT_TRAINING): quotas.of(kind, name)
        for name in instance_types
        if name is not None
        for kind in (JobKind.PROCESSING, JobKind.SPOT_TRAINING)
    }
    return {name: quota for name, quota in known.items() if quota is not None}
