"""What the planner knows of the stage: estimates, prices and quotas."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contract.planner.estimates import Estimates
from contract.planner.prices import PriceTable, bundled_prices
from lambdas.planning.scoring.assignments import Assignment
from lambdas.stage.deployment import Deployment


@dataclass(frozen=True)
class PlanningBasis:
    """Estimates, prices and quotas with which an execution is planned."""

    region: str
    estimates: Estimates = field(default_factory=Estimates)
    prices: PriceTable = field(default_factory=bundled_prices)
    quotas: Mapping[str, int] = field(default_factory=dict)
    """Instances that may run at once, by type. A type that is missing has no known quota."""


def read_basis(deployment: Deployment, readers: Iterable[Assignment]) -> PlanningBasis:
    """Return what the table knows, and documented defaults for the rest.

    `readers` are the models, and each fleet as one model, with their datasets.
    """
    found = list(readers)
    samples = deployment.estimates.read(
        dict.fromkeys(reader.version.spec.model_id for reader in found),
        dict.fromkeys(reader.dataset for reader in found),
    )
    return PlanningBasis(
        region=deployment.settings.key_arn.split(":")[3],
        estimates=Estimates(samples),
        prices=deployment.table.prices() or bundled_prices(),
    )
