"""A fleet as a job scores it: its models together are one model, which predicts each row with the
model that the row's route names."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.routes import QUARANTINE, UNMATCHED, RouteType, fallback_of
from contract.checks import raise_if_any
from contract.json_text import dump_json
from contract.names import check_model_id
from contract.problems import Problem

MODEL_ID_COLUMN = "model_id"
MODEL_VERSION_COLUMN = "model_version"
"""Columns of a fleet's output that say which model predicted the row."""
AGREED_FIELDS = (
    "features",
    "key_columns",
    "output_columns",
    "output_types",
    "columns",
    "output_format",
    "csv_formulas",
    "row_number_column",
    "method",
    "input",
    "partition_columns",
    "tolerated_quarantine_fraction",
)
"""Fields of the record in which the models of a fleet must agree."""


@dataclass(frozen=True)
class FleetSpec:
    """A fleet's part in a job spec, beside the specs of its models."""

    fleet_id: str
    route_by: str
    """Column with the route of each row; a column of the object, or `name=value/` in its key."""
    routes: Mapping[str, str]
    """Id of the model for each route. Routes that are whole numbers are written in decimal digits."""
    unmatched: str = QUARANTINE
    """What happens to rows with another route, or none: "quarantine", "skip", or "model:<id>"."""
    route_type: RouteType = "string"
    in_key: bool = False
    """Whether the route is a part of the object's key, so that all rows of an object have the same."""

    def __post_init__(self) -> None:
        problems = check_model_id("fleet_id", self.fleet_id)
        if not self.routes:
            problems.append(Problem("routes", {}, "at least one route"))
        problems += UNMATCHED.problems("unmatched", self.unmatched)
        raise_if_any(problems, "FleetSpec")

    @property
    def fallback(self) -> str:
        """Id of the model for rows of no other model; empty if there is none."""
        return fallback_of(self.unmatched)


def fleet_job_id(fleet_id: str) -> str:
    """Return the id of a fleet's job.

    >>> fleet_job_id("delays")
    'delays.fleet'
    """
    return f"{fleet_id}.fleet"


def fleet_model(fleet: FleetSpec, models: Sequence[ModelSpec]) -> ModelSpec:
    """Return the spec of the one model that the fleet's models are together.

    Its id is the fleet's, and its version changes with any model, version or route. It reads the
    route as a feature, if the models do not.
    """
    first = models[0]
    route = Feature(fleet.route_by, fleet.route_type)
    has_route = any(feature.name == fleet.route_by for feature in first.features)
    is_partition = fleet.in_key and fleet.route_by not in first.partition_columns
    return replace(
        first,
        model_id=fleet.fleet_id,
        version=_version(fleet, models),
        features=first.features if has_route else (*first.features, route),
        partition_columns=(*first.partition_columns, fleet.route_by) if is_partition else first.partition_columns,
    )


def _version(fleet: FleetSpec, models: Sequence[ModelSpec]) -> str:
    members = sorted((spec.model_id, spec.version, spec.artifact_sha256) for spec in models)
    text = dump_json([fleet.route_by, fleet.route_type, fleet.unmatched, sorted(fleet.routes.items()), members])
    return f"fleet-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
