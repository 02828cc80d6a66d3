"""What is scored, and on which dataset: models, and fleets of models."""

from dataclasses import dataclass, replace
from functools import cached_property

from contract.catalog.fleets import FleetRecord
from contract.catalog.models import ModelVersion
from contract.job.fleet import MODEL_ID_COLUMN, MODEL_VERSION_COLUMN, FleetSpec, fleet_model


@dataclass(frozen=True)
class Assignment:
    """A model version and the dataset that it scores."""

    version: ModelVersion
    dataset: str
    added_columns: tuple[str, ...] = ()
    """Columns that the output has besides those of the model."""

    @property
    def name(self) -> str:
        """What is scored, for messages."""
        spec = self.version.spec
        return f"fleet {spec.model_id!r}" if self.added_columns else f"model {spec.model_id!r} version {spec.version!r}"

    @property
    def alternative(self) -> str:
        """How its records are changed, for messages."""
        if not self.added_columns:
            return "register a version"
        change = f"fleetscore fleets set {self.version.spec.model_id} --route-by …"
        return f"correct the column or type of the routes with `{change}`, or register versions"


@dataclass(frozen=True)
class ChosenFleet:
    """A fleet whose models agree, and the dataset that it scores."""

    record: FleetRecord
    spec: FleetSpec
    members: tuple[ModelVersion, ...]
    """The current versions of the fleet's enabled models, by id."""
    dataset: str
    notes: tuple[str, ...] = ()

    @cached_property
    def assignment(self) -> Assignment:
        """The one model that the fleet is, with its dataset."""
        spec = fleet_model(self.spec, [member.spec for member in self.members])
        one = replace(self.members[0], spec=spec, dataset=self.dataset, fleet="", route=())
        one = replace(one, compute=self.record.compute, max_attempts=self.record.max_attempts)
        return Assignment(one, self.dataset, (MODEL_ID_COLUMN, MODEL_VERSION_COLUMN))
