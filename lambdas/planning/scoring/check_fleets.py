"""Fleets in the plan: checked with their models, and with the objects of their datasets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from contract.catalog.fleets import FleetRecord
from contract.catalog.models import ModelVersion
from contract.catalog.routes import SKIP
from contract.job.fleet_checks import fleet_spec
from contract.job.snapshot import Snapshot
from contract.problems import Problem
from lambdas.dataset.pinning import keys_without_partitions
from lambdas.planning.scoring.assignments import ChosenFleet
from lambdas.shown_text import list_first


def form_fleet(
    record: FleetRecord, members: Sequence[ModelVersion], disabled: Sequence[ModelVersion], dataset: str
) -> tuple[ChosenFleet | None, list[Problem]]:
    """Return a fleet of these models, or the problems with which its job would fail.

    `members` are the current versions of the enabled models, by id, and `disabled` of the others.
    """
    spec, problems = fleet_spec(record, members)
    if spec is None:
        return None, problems
    notes = tuple(_notes(record, spec.routes, disabled))
    return ChosenFleet(record, spec, tuple(members), dataset, notes), []


def _notes(record: FleetRecord, routes: Mapping[str, str], disabled: Sequence[ModelVersion]) -> Iterator[str]:
    off = {route: version.spec.model_id for version in disabled for route in version.route if route not in routes}
    if off:
        listed = list_first([f"{route!r} (model {model_id!r})" for route, model_id in off.items()])
        yield f"fleet {record.fleet_id!r}: routes of disabled models, whose rows are unmatched: {listed}"
    if record.unmatched == SKIP:
        yield f"fleet {record.fleet_id!r}: rows of no model are left out of the output, because unmatched is {SKIP!r}"


def find_routes(
    fleets: Sequence[ChosenFleet], snapshots: Mapping[str, Snapshot]
) -> tuple[list[ChosenFleet], list[Problem]]:
    """Return the fleets, each with the place of its routes: a column, or a part of all keys."""
    found: list[ChosenFleet] = []
    problems: list[Problem] = []
    for fleet in fleets:
        objects, route_by = snapshots[fleet.dataset].objects, fleet.spec.route_by
        lacking = keys_without_partitions(objects, [route_by])
        if lacking and len(lacking) < len(objects):
            value = f"{len(lacking):,} of {len(objects):,} keys without '{route_by}=…/': {list_first(list(lacking))}"
            field = f"fleet {fleet.spec.fleet_id!r} on dataset {fleet.dataset!r}: route_by"
            remedy = "Move the objects, or set another route_by."
            problems.append(Problem(field, value, "a column of the objects, or a part of every key", remedy))
        found.append(replace(fleet, spec=replace(fleet.spec, in_key=bool(objects) and not lacking)))
    return found, problems
