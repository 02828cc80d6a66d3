"""`fleetscore fleets`: models that together score one dataset, each row by the model of its route."""

import dataclasses
from typing import Any, get_args

import rich_click as click

from cli.command_line.click_classes import CommandGroup, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import words
from cli.failures import ExitStatus
from cli.stage.catalog.catalog import caller
from cli.stage.catalog.fleets import Fleets
from cli.views.models.fleets import fleet_json, fleet_notes, fleet_view, fleets_table
from cli.views.tables import plain_json
from contract.catalog.compute_fields import ComputeFields
from contract.catalog.routes import RouteType

_COMPUTE = tuple(field.name for field in dataclasses.fields(ComputeFields))

fleet_argument = argument("fleet_id", metavar="FLEET_ID", help="The fleet's id.")


@click.group(
    "fleets",
    cls=CommandGroup,
    examples="""
    fleetscore fleets set flights --dataset flights --route-by carrier
    fleetscore fleets show flights
    """,
)
def fleets() -> None:
    """Let models score one dataset together, each row by the model of its route."""


@fleets.command(
    "set",
    examples="""
    fleetscore fleets set flights --dataset flights --route-by carrier
    fleetscore fleets set stores --dataset sales --route-by store:int64
    fleetscore fleets set stores --unmatched model:all-stores
    """,
)
@fleet_argument
@click.option("--dataset", metavar="NAME", help="Dataset that the fleet scores by default.")
@click.option(
    "--route-by",
    metavar="COLUMN[:int64]",
    help="Column with each row's route, or name of the part name=value/ of the keys. With :int64 it has whole numbers.",
)
@click.option(
    "--unmatched",
    metavar="quarantine|skip|model:ID",
    help="What happens to rows of no model. Default of a new fleet: quarantine.",
)
@click.option("--instance-type", metavar="TYPE", panel="Compute", help="SageMaker instance type of the fleet's jobs.")
@click.option("--instance-count", type=int, metavar="N", panel="Compute", help="Instances per job.")
@click.option("--volume-size-gb", type=int, metavar="GB", panel="Compute", help="Size of each instance's volume.")
@click.option("--max-runtime-seconds", type=int, metavar="S", panel="Compute", help="Time limit per attempt.")
@click.option(
    "--larger-instance-types",
    metavar="A,B",
    panel="Compute",
    help="Types to which a job changes when an attempt runs out of memory, smaller ones first.",
)
@click.option(
    "--max-volume-size-gb", type=int, metavar="GB", panel="Compute", help="Largest volume of a later attempt."
)
@click.option("--max-attempts", type=int, metavar="N", panel="Compute", help="Maximum attempts per job.")
@click.pass_obj
def set_fleet(invocation: Invocation, /, *, fleet_id: str, route_by: str | None, **options: Any) -> ExitStatus:
    """Create a fleet, or change the given fields of one."""
    fields = {name: value for name, value in options.items() if value is not None}
    compute = {name: fields.pop(name) for name in _COMPUTE if name in fields}
    if "larger_instance_types" in compute:
        compute["larger_instance_types"] = words(compute["larger_instance_types"])
    if route_by is not None:
        fields |= _route(route_by)
    found = Fleets(invocation.connection, invocation.changed_deployment())
    record = found.set(fleet_id, {**fields, "compute": compute}, updated_by=caller(invocation.connection))
    shown = (
        f"Fleet {fleet_id} set: rows of {record.dataset} go to the models by {record.route_by}, unmatched rows: "
        f"{record.unmatched}. Models join it with `fleetscore models register … --fleet {fleet_id} --route …`."
    )
    invocation.output.data(plain_json(record), shown, *fleet_notes(found.show(fleet_id)))
    return ExitStatus.SUCCEEDED


@fleets.command("list", examples="fleetscore fleets list")
@click.pass_obj
def list_fleets(invocation: Invocation) -> ExitStatus:
    """List every fleet."""
    found = Fleets(invocation.connection, invocation.deployment()).all()
    shown = fleets_table(found) if found else "No fleets. Create one with `fleetscore fleets set`."
    values = [{**plain_json(fleet.record), "enabled_models": len(fleet.enabled)} for fleet in found]
    invocation.output.data(values, shown)
    return ExitStatus.SUCCEEDED


@fleets.command("show", examples="fleetscore fleets show flights")
@fleet_argument
@click.pass_obj
def show_fleet(invocation: Invocation, *, fleet_id: str) -> ExitStatus:
    """Show a fleet, its models with their routes, and what a plan would refuse."""
    found = Fleets(invocation.connection, invocation.deployment()).show(fleet_id)
    invocation.output.data(fleet_json(found), *fleet_view(found))
    return ExitStatus.SUCCEEDED


@fleets.command("delete", examples="fleetscore fleets delete flights")
@fleet_argument
@click.pass_obj
def delete_fleet(invocation: Invocation, *, fleet_id: str) -> ExitStatus:
    """Delete a fleet that has no enabled models."""
    deleted = Fleets(invocation.connection, invocation.changed_deployment()).delete(fleet_id)
    invocation.output.data(plain_json(deleted), f"Fleet {fleet_id} is deleted.")
    return ExitStatus.SUCCEEDED


def _route(text: str) -> dict[str, str]:
    """Return the fields of `column` or `column:type`.

    >>> _route("store:int64"), _route("a:b")
    ({'route_by': 'store', 'route_type': 'int64'}, {'route_by': 'a:b', 'route_type': 'string'})
    """
    column, _, kind = text.rpartition(":")
    if column and kind in get_args(RouteType):
        return {"route_by": column, "route_type": kind}
    return {"route_by": text, "route_type": "string"}
