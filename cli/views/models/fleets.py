"""Fleets as tables for people and as JSON values for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from cli.stage.catalog.fleets import Fleet
from cli.views.tables import add_row, counted, fields_table, plain_json, plain_table, shown_time
from contract.catalog.fleets import FleetRecord
from contract.problems import list_problems

_SHOWN_ROUTES = 12
"""Most routes of a model that are shown."""
_SHOWN_PROBLEMS = 5
"""Most problems of a fleet that a command which changes it shows."""


def fleets_table(fleets: Sequence[Fleet]) -> Table:
    table = plain_table("fleet", "dataset", "route by", "unmatched", "models", "updated", right=("models",))
    for fleet in fleets:
        record = fleet.record
        models = f"{len(fleet.enabled):,}"
        add_row(
            table,
            record.fleet_id,
            record.dataset,
            _route_by(record),
            record.unmatched,
            models,
            shown_time(record.updated_at),
        )
    return table


def fleet_json(fleet: Fleet) -> dict[str, Any]:
    members = [
        {
            "model_id": member.model.model_id,
            "enabled": member.model.enabled,
            "version": member.version.spec.version,
            "route": list(member.version.route),
        }
        for member in fleet.members
    ]
    problems = [str(problem) for problem in fleet.problems()]
    return {**plain_json(fleet.record), "models": members, "problems": problems}


def fleet_view(fleet: Fleet) -> list[RenderableType]:
    """Return what `fleetscore fleets show` shows: the record, the models with their routes, and problems."""
    members = plain_table("model", "enabled", "version", "routes")
    fallback = fleet.record.unmatched.partition(":")[2]
    for member in fleet.members:
        model, routes = member.model, list(member.version.route)
        shown = ", ".join(routes[:_SHOWN_ROUTES])
        shown += f" and {len(routes) - _SHOWN_ROUTES:,} more" if len(routes) > _SHOWN_ROUTES else ""
        if model.model_id == fallback:
            shown = f"{shown} and all unmatched rows" if shown else "all unmatched rows"
        add_row(members, model.model_id, "yes" if model.enabled else "no", model.current_version, shown)
    off = len(fleet.members) - len(fleet.enabled)
    heading = f"{counted(len(fleet.enabled), 'enabled model')}{f', {off:,} disabled' if off else ''}:"
    problems = [f"Problem: {text}" for text in list_problems(fleet.problems())]
    return [fields_table(_fields(fleet.record)), heading, members, *problems]


def fleet_notes(fleet: Fleet) -> list[str]:
    """Return why a plan would refuse a fleet that a command has changed; empty if it would not.

    A fleet without enabled models has no notes: the command is one of the steps that set it up.
    """
    if not fleet.enabled:
        return []
    problems = fleet.problems()
    name = fleet.record.fleet_id
    notes = [f"Note: a plan would refuse fleet {name} now: {problem}" for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        more = counted(len(problems) - _SHOWN_PROBLEMS, "more problem")
        notes.append(f"and {more}: `fleetscore fleets show {name}`")
    return notes


def _fields(record: FleetRecord) -> Mapping[str, Any]:
    fields = plain_json(record)
    compute = {name: "the stage's" if value is None else value for name, value in fields.pop("compute").items()}
    return {**fields, **compute}


def _route_by(record: FleetRecord) -> str:
    return record.route_by if record.route_type == "string" else f"{record.route_by}:{record.route_type}"
