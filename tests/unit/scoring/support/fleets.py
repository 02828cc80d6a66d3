"""Fleets whose members are loaded models of the test process."""

from collections.abc import Callable
from typing import Any

from contract.catalog.model_spec import ModelSpec
from contract.job.fleet import FleetSpec, fleet_model
from scoring.fleets.fleet_model import FleetModel
from scoring.fleets.members import Member
from scoring.fleets.setup import fleet_setup
from scoring.models import LoadedModel

Load = Callable[[], LoadedModel]


def fleet_in_process(
    fleet: FleetSpec, members: dict[ModelSpec, Any], *, cached: int = 1_000_000
) -> tuple[dict[ModelSpec, Any], dict[str, Any]]:
    """Return the fleet as one model by its spec, and the fields of its setup.

    `members` are loaded models, or functions that load them. At most `cached` of them stay loaded.
    """
    specs = list(members)
    spec = fleet_model(fleet, specs)
    loads = [Member(each.model_id, each.version, _loader(model)) for each, model in members.items()]
    setup = fleet_setup(fleet, specs, [None] * len(specs), 0)
    model = FleetModel(
        fleet,
        spec,
        loads,
        features=len(specs[0].features),
        cache_bytes=cached,
        has_several_formats=setup.has_several_formats,
    )
    return {spec: model}, {"output_layout": "fleet", "fleet": setup}


def _loader(model: Any) -> Callable[[], tuple[LoadedModel, int]]:
    return (lambda: (model, 1)) if hasattr(model, "predict") else (lambda: (model(), 1))
