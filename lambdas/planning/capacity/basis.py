"""What the planner knows of the stage: estimates, prices and quotas."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.planner.estimates import Estimates
from contract.planner.prices import PriceTable, bundled_prices
from lambdas.stage.deployment import Deployment


@dataclass(frozen=True)
class PlanningBasis:
    """Estimates, prices and quotas with which an execution is planned."""

    region: str
    estimates: Estimates = field(default_factory=Estimates)
    prices: PriceTable = field(default_factory=bundled_prices)
    quotas: Mapping[str, int] = field(default_factory=dict)
    """Instances that may run at once, by type. A type that is missing has no known quota."""


def read_basis(deployment: Deployment) -> PlanningBasis:
    """Return what the table has, and documented defaults for the rest."""
    region = deployment.settings.key_arn.split(":")[3]
    prices = deployment.table.prices()
    return PlanningBasis(region=region, prices=prices or bundled_prices())
