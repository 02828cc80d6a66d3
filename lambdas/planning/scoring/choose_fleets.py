"""Choose the fleets that are scored, with the current versions of their models."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from contract.catalog.fleets import FleetRecord
from contract.catalog.models import Model, ModelVersion
from contract.problems import Problem
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.scoring.assignments import ChosenFleet
from lambdas.planning.scoring.check_fleets import form_fleet
from lambdas.shown_text import list_first, suggest
from lambdas.stage.tables.job_table import JobTable


@dataclass
class Catalog:
    """The models of the table and their current versions, each read at most once."""

    table: JobTable
    _models: list[Model] | None = None
    _versions: dict[str, ModelVersion] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)

    def models(self) -> list[Model]:
        """Return every model, by id."""
        if self._models is None:
            self._models = self.table.all_models()
        return self._models

    def current_versions(self, models: Iterable[Model]) -> Mapping[str, ModelVersion]:
        """Return the current versions of these models and others, by model id; missing ones are left out."""
        unread = [model for model in models if model.model_id not in self._read]
        self._read.update(model.model_id for model in unread)
        self._versions |= self.table.current_versions(unread)
        return self._versions

    def fleet_members(self) -> dict[str, list[tuple[Model, ModelVersion]]]:
        """Return the models of each fleet, by the fleet's id, with their current versions."""
        versions = self.current_versions(self.models())
        found: dict[str, list[tuple[Model, ModelVersion]]] = {}
        for model in self.models():
            version = versions.get(model.model_id)
            if version is not None and version.fleet:
                found.setdefault(version.fleet, []).append((model, version))
        return found


def choose_fleets(
    request: ExecutionRequest, selected: Sequence[ModelVersion], catalog: Catalog, uploaded: str | None
) -> tuple[list[ChosenFleet], list[Problem]]:
    """Return the fleets that the request names, and those of the selected models.

    `selected` are the models of fleets that the request's `models` selects. `uploaded` is the
    dataset of an upload manifest: only fleets of this dataset score uploads, unless the request
    names others.
    """
    named, problems = request.fleets or (), []
    if isinstance(request.models, tuple):
        problems = _refuse_members(request.models, selected)
        selected = ()
    by_fleet: dict[str, list[ModelVersion]] = {}
    for version in selected:
        if version.fleet not in named:
            by_fleet.setdefault(version.fleet, []).append(version)
    if not named and not by_fleet:
        return [], problems
    records = catalog.table.fleets([*named, *by_fleet])
    members = catalog.fleet_members()
    chosen, found = _find_named(named, records, members)
    problems += found
    for fleet_id, versions in sorted(by_fleet.items()):
        record = records.get(fleet_id)
        if uploaded not in (None, versions[0].dataset if record is None else record.dataset):
            continue
        found = _check_selection(fleet_id, record, versions, [model for model, _ in members[fleet_id]])
        problems += found
        chosen += [record] if record is not None and not found else []
    fleets = []
    for record in chosen:
        fleet, found = _form(request, record, members.get(record.fleet_id, ()), uploaded)
        problems += found
        fleets += [fleet] if fleet is not None else []
    return fleets, problems


def _refuse_members(model_ids: Sequence[str], selected: Sequence[ModelVersion]) -> list[Problem]:
    """Return the problem of each model that is of a fleet: alone it would score the rows of the others too."""
    fleets = {version.spec.model_id: version.fleet for version in selected}
    return [
        Problem(
            f"models[{index}]",
            model_id,
            f"a model of no fleet; this one scores only some rows, together with the others of {fleets[model_id]!r}",
            f'Leave it out, and name the fleet: "fleets": ["{fleets[model_id]}"].',
        )
        for index, model_id in enumerate(model_ids)
        if model_id in fleets
    ]


def _find_named(
    named: Sequence[str], records: Mapping[str, FleetRecord], known: Iterable[str]
) -> tuple[list[FleetRecord], list[Problem]]:
    """Return the named fleets, and the problem of each that does not exist. `known` are ids for suggestions."""
    problems = [
        Problem(f"fleets[{index}]", fleet_id, "the id of a fleet", suggest(fleet_id, known, "fleets"))
        for index, fleet_id in enumerate(named)
        if fleet_id not in records
    ]
    return [records[fleet_id] for fleet_id in named if fleet_id in records], problems


def _check_selection(
    fleet_id: str, record: FleetRecord | None, versions: Sequence[ModelVersion], models: Sequence[Model]
) -> list[Problem]:
    """Check that a fleet exists, and that all of its enabled models are selected."""
    selected = {version.spec.model_id for version in versions}
    if record is None:
        remedy = f"Create it with `fleetscore fleets set {fleet_id}`, or register the models without it."
        field = f"model {min(selected)!r}: fleet"
        return [Problem(field, fleet_id, "the id of a fleet", remedy)]
    left_out = [model.model_id for model in models if model.enabled and model.model_id not in selected]
    if not left_out:
        return []
    found = f"{len(selected):,} models of fleet {fleet_id!r}, without {list_first(left_out)}"
    remedy = f'Give them the same tags, or name the fleet: "fleets": ["{fleet_id}"].'
    return [Problem("models.tags", found, "all enabled models of a fleet or none", remedy)]


def _form(
    request: ExecutionRequest,
    record: FleetRecord,
    members: Sequence[tuple[Model, ModelVersion]],
    uploaded: str | None,
) -> tuple[ChosenFleet | None, list[Problem]]:
    fraction = request.tolerated_quarantine_fraction

    def as_requested(version: ModelVersion) -> ModelVersion:
        if fraction is None:
            return version
        return replace(version, spec=replace(version.spec, tolerated_quarantine_fraction=fraction))

    enabled = [as_requested(version) for model, version in members if model.enabled]
    disabled = [version for model, version in members if not model.enabled]
    return form_fleet(record, enabled, disabled, request.dataset or uploaded or record.dataset)
