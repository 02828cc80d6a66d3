"""The models and datasets of a large execution."""

import hashlib
from dataclasses import dataclass, replace
from functools import cache, cached_property

from contract import layout
from contract.catalog.fleets import FleetRecord
from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import ModelVersion

ARTIFACT = b"not read by the plan"
MODELS_BUCKET = "models-bench"
FEATURES = (
    Feature("store", "int64"),
    *(Feature(f"feature_{number:02d}", "double") for number in range(1, 30)),
)
ROUTED = "stores"
"""Id of the fleet."""
_SHARED = "shared"


@dataclass(frozen=True)
class Fleet:
    """Models with 30 features, over datasets with the same number of objects."""

    models: int
    objects: int
    """Objects of each dataset."""
    own_datasets: bool = False
    """Whether each model has a dataset of its own; otherwise all share one."""
    routed: bool = False
    """Whether the models are a fleet: one job, in which each row is scored by the model of its route."""

    @cached_property
    def names(self) -> list[str]:
        return [f"model-{number:05d}" for number in range(self.models)]

    def dataset(self, name: str) -> str:
        """Return the dataset of a model."""
        return name if self.own_datasets else _SHARED

    def spec(self, name: str) -> ModelSpec:
        return ModelSpec(
            model_id=name,
            version="1",
            artifact_sha256=_DIGEST,
            artifact_bytes=len(ARTIFACT),
            framework="xgboost",
            format="xgboost-json",
            model_file="model.json",
            method="predict",
            features=FEATURES,
        )

    def version(self, name: str) -> ModelVersion:
        version = ModelVersion(spec=self.spec(name), dataset=self.dataset(name))
        return replace(version, fleet=ROUTED, route=(str(int(name[-5:])),)) if self.routed else version

    @property
    def record(self) -> FleetRecord:
        """The record of the fleet that the models are, if they are routed."""
        return FleetRecord(fleet_id=ROUTED, dataset=_SHARED, route_by=FEATURES[0].name, route_type="int64")

    @cache  # noqa: B019 - a process has one fleet
    def keys(self, dataset: str) -> list[str]:
        """Return the keys of a dataset's objects."""
        folder = f"{layout.dataset_prefix(dataset)}year=2026/month=01"
        return [f"{folder}/part-{number:05d}-8f14e45f-ceea-467f-8aa0.parquet" for number in range(self.objects)]


_DIGEST = hashlib.sha256(ARTIFACT).hexdigest()
