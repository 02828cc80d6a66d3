"""A fleet's record: models that together score one dataset, each row by the model that its route
names."""

from dataclasses import dataclass, field

from contract.catalog.model_fields import MAX_ATTEMPTS_LIMIT
from contract.catalog.models import Compute
from contract.catalog.routes import QUARANTINE, UNMATCHED, RouteType
from contract.checks import Length, Range, raise_if_any
from contract.names import DATASET_NAME, MODEL_ID
from contract.schema.field_info import check_fields, describe


@dataclass(frozen=True, kw_only=True)
class FleetRecord:
    """A fleet. Its models name it in their own records, with their routes."""

    fleet_id: str = field(metadata=describe("Identity of the fleet.", check=MODEL_ID))
    dataset: str = field(metadata=describe("Dataset that the fleet scores by default.", check=DATASET_NAME))
    route_by: str = field(
        metadata=describe(
            "Column with the route of each row, or name of the part `name=value/` of the keys that has it.",
            check=Length(1, 255, "the name of a column"),
        )
    )
    route_type: RouteType = field(
        default="string",
        metadata=describe("Type of the routes: string, or int64 for a column of whole numbers."),
    )
    unmatched: str = field(
        default=QUARANTINE,
        metadata=describe(
            "What happens to rows whose route no model of the fleet has: quarantine, skip (they are in no output), or "
            "model:<id> of the model of the fleet that scores them.",
            check=UNMATCHED,
        ),
    )
    compute: Compute = field(
        default_factory=Compute, metadata=describe("Instances, volume and time limit of the fleet's jobs.")
    )
    max_attempts: int = field(
        default=3, metadata=describe("Maximum attempts per job.", check=Range(1, MAX_ATTEMPTS_LIMIT, "attempts"))
    )
    updated_at: str = field(default="", metadata=describe("Time of the last change, ISO 8601 in UTC."))
    updated_by: str = field(default="", metadata=describe("ARN of the caller that made it."))

    def __post_init__(self) -> None:
        raise_if_any(check_fields(self), "fleet")
