"""Choose what a resumed execution scores: the models and fleets of the old one, as they are now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contract.catalog.availability import (
    nothing_available,
    unavailable_fleet,
    unavailable_model,
    why_unavailable,
)
from contract.catalog.models import ModelVersion
from contract.problems import Problem
from contract.table.records import JobRecord
from contract.workflow.scoring_request import ExecutionRequest, ModelFilter
from lambdas.planning.scoring.assignments import Assignment, ChosenFleet
from lambdas.planning.scoring.check_fleets import form_fleet
from lambdas.planning.scoring.choose_fleets import Catalog
from lambdas.planning.scoring.choose_models import Choice
from lambdas.shown_text import list_first, suggest
from lambdas.stage.deployment import Deployment


@dataclass(frozen=True)
class _Planned:
    """What the old execution planned: the dataset of each model of no fleet, and of each fleet."""

    models: Mapping[str, str]
    fleets: Mapping[str, str]


def choose_again(
    request: ExecutionRequest, old_jobs: Sequence[JobRecord], deployment: Deployment
) -> tuple[Choice, list[str]]:
    """Return what the request's `models` and `fleets` select of the old jobs, and notes about what is left out.

    Models that are disabled or deleted now are left out, unless the request names them.
    """
    planned = _Planned(
        {model_id: job.dataset for job in old_jobs if not job.fleet for model_id in job.model_ids},
        {job.fleet: job.dataset for job in old_jobs if job.fleet},
    )
    catalog = Catalog(deployment.table)
    models_out: dict[str, str] = {}
    fleets_out: dict[str, str] = {}
    assignments, problems = _models(request, planned, catalog, models_out)
    fleets, found = _fleets(request, planned, catalog, fleets_out)
    problems += found
    if not problems and not assignments and not fleets:
        problems.append(nothing_available(models_out, fleets_out))
    datasets = sorted({*(item.dataset for item in assignments), *(fleet.dataset for fleet in fleets)})
    left_out = [f"model {name!r} ({why})" for name, why in models_out.items()]
    left_out += [f"fleet {name!r} ({why})" for name, why in fleets_out.items()]
    notes = [f"not scored any more: {list_first(left_out)}"] if left_out else []
    return Choice(tuple(assignments), tuple(fleets), tuple(datasets), tuple(problems)), notes


def _models(
    request: ExecutionRequest, planned: _Planned, catalog: Catalog, left_out: dict[str, str]
) -> tuple[list[Assignment], list[Problem]]:
    wanted = request.models
    if wanted is None and request.fleets is not None:
        return [], []
    problems: list[Problem] = []
    named = wanted if isinstance(wanted, tuple) else tuple(planned.models)
    for index, model_id in enumerate(named):
        if model_id not in planned.models:
            remedy = suggest(model_id, planned.models, "models")
            problems.append(Problem(f"models[{index}]", model_id, "a model of the resumed execution", remedy))
    known = catalog.table.models([model_id for model_id in named if model_id in planned.models])
    if isinstance(wanted, ModelFilter):
        known = {name: model for name, model in known.items() if wanted.tags.items() <= model.tags.items()}
        named = tuple(known)
        if not known:
            expected = "tags of at least one model of the resumed execution"
            problems.append(Problem("models.tags", dict(wanted.tags), expected))
    versions = catalog.current_versions(known.values())
    assignments: list[Assignment] = []
    for index, model_id in enumerate(named):
        if model_id in planned.models:
            why = why_unavailable(known.get(model_id), versions.get(model_id))
            if not why:
                assignments.append(Assignment(versions[model_id], planned.models[model_id]))
            elif isinstance(wanted, tuple):
                problems.append(unavailable_model(f"models[{index}]", model_id, why))
            else:
                left_out[model_id] = why
    return assignments, problems


def _fleets(
    request: ExecutionRequest, planned: _Planned, catalog: Catalog, left_out: dict[str, str]
) -> tuple[list[ChosenFleet], list[Problem]]:
    if request.models is not None and request.fleets is None:
        return [], []
    named = planned.fleets if request.fleets is None else request.fleets
    problems = [
        Problem(
            f"fleets[{index}]",
            fleet_id,
            "a fleet of the resumed execution",
            suggest(fleet_id, planned.fleets, "fleets"),
        )
        for index, fleet_id in enumerate(named)
        if fleet_id not in planned.fleets
    ]
    wanted = [fleet_id for fleet_id in named if fleet_id in planned.fleets]
    if not wanted:
        return [], problems
    records, members = catalog.table.fleets(wanted), catalog.fleet_members()
    chosen: list[ChosenFleet] = []
    for fleet_id in wanted:
        enabled = [_as_requested(request, version) for model, version in members.get(fleet_id, ()) if model.enabled]
        disabled = [version for model, version in members.get(fleet_id, ()) if not model.enabled]
        if fleet_id not in records or not enabled:
            why = "without enabled models" if fleet_id in records else "deleted"
            if request.fleets is not None:
                problems.append(unavailable_fleet("fleets", fleet_id, why))
            else:
                left_out[fleet_id] = why
            continue
        fleet, found = form_fleet(records[fleet_id], enabled, disabled, planned.fleets[fleet_id])
        problems += found
        chosen += [fleet] if fleet is not None else []
    return chosen, problems


def _as_requested(request: ExecutionRequest, version: ModelVersion) -> ModelVersion:
    if request.tolerated_quarantine_fraction is None:
        return version
    spec = replace(version.spec, tolerated_quarantine_fraction=request.tolerated_quarantine_fraction)
    return replace(version, spec=spec)
