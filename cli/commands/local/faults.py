"""`fleetscore faults add`, `list` and `clear`: faults in the embedded AWS of `fleetscore up`."""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from cli.command_line.click_classes import Command, CommandGroup, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import FILE
from cli.commands.local.local import require_checkout
from cli.failures import CommandError, ExitStatus

if TYPE_CHECKING:
    from embedded.faults import Fault, Faults

state_dir_option = click.option(
    "--state-dir",
    type=FILE,
    metavar="FOLDER",
    help="Folder of the embedded AWS's files. Default: that of the embedded AWS that this shell uses.",
)
_CONVERTERS = {"int": int, "float": float}
_CONDITIONS = ("count", "probability", "seed", "skip", "after_seconds", "until_seconds")
"""Fields of all kinds, which the help screens list last."""


@click.group(
    "faults",
    cls=CommandGroup,
    examples="""
    fleetscore faults add throttle --service dynamodb --count 3
    fleetscore faults list
    """,
)
def faults() -> None:
    """Make things fail in the embedded AWS, to test your recovery.

    docs/reference/faults.md describes the kinds of faults, and the errors that clients see.
    """


class _Kinds(CommandGroup):
    """The kinds of faults as commands, whose options are made from the fields of their classes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_kinds())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        kind = _kinds().get(cmd_name)
        return None if kind is None else _command(cmd_name, kind)


@faults.group(
    "add",
    cls=_Kinds,
    examples="""
    fleetscore faults add kill-instance --job 'dev-churn-*' --objects 3
    fleetscore faults add server-error --service s3 --probability 0.1 --seed 7
    """,
)
def add() -> None:
    """Add a fault that happens at its next occasion."""


@faults.command("list", examples="fleetscore faults list")
@state_dir_option
@click.pass_obj
def list_faults(invocation: Invocation, *, state_dir: Path | None) -> ExitStatus:
    """Show the faults that were added, and what has happened."""
    with _running(invocation, state_dir) as known:
        added, happened = known.all(), known.happened()
    value = {
        "faults": [
            {
                "id": each.fault_id,
                "kind": each.fault.KIND,
                "fields": asdict(each.fault),
                "occasions": each.occasions,
                "times": each.times,
                "is_pending": not each.is_used_up,
            }
            for each in added
        ],
        "happened": [
            {"id": each.fault_id, "kind": each.kind, "at": each.at.isoformat(), "place": each.place}
            for each in happened
        ],
    }
    state = {True: "used up", False: "pending"}
    lines = [
        f"{each} ({state[each.is_used_up]}, happened at {each.times} of {each.occasions} occasions)" for each in added
    ]
    invocation.output.data(
        value, *(lines or ["No faults."]), *(["", "Happened:", *map(str, happened)] if happened else [])
    )
    return ExitStatus.SUCCEEDED


@faults.command("clear", examples="fleetscore faults clear throttle-1")
@argument("fault_id", metavar="[ID]", help="The fault's id. Without it, all faults are removed.", required=False)
@state_dir_option
@click.pass_obj
def clear(invocation: Invocation, *, fault_id: str | None, state_dir: Path | None) -> ExitStatus:
    """Remove a fault, or all of them. What has happened stays in the list."""
    with _running(invocation, state_dir) as known:
        number = known.clear(fault_id)
    invocation.output.data({"cleared": number}, f"{number} {'fault' if number == 1 else 'faults'} cleared.")
    return ExitStatus.SUCCEEDED


def _kinds() -> Mapping[str, type["Fault"]]:
    # Commands on an AWS account must not import the embedded AWS.
    require_checkout()
    from embedded.faults.kinds import KINDS  # noqa: PLC0415

    return KINDS


def _command(name: str, kind: type["Fault"]) -> click.Command:
    own = [each for each in fields(kind) if each.name not in _CONDITIONS]
    shared = [each for each in fields(kind) if each.name in _CONDITIONS]
    options: list[click.Parameter] = [_option(each) for each in (*own, *shared)]

    @click.pass_obj
    def callback(invocation: Invocation, /, *, state_dir: Path | None, **values: Any) -> ExitStatus:
        with _running(invocation, state_dir) as known:
            fault_id = known.add(kind(**values))
        invocation.output.data({"id": fault_id}, f"{fault_id} is added.")
        return ExitStatus.SUCCEEDED

    examples = f"fleetscore faults add {name} {kind.EXAMPLE}"
    return state_dir_option(Command(name, params=options, callback=callback, help=kind.__doc__, examples=examples))


def _option(declared: Any) -> click.Parameter:
    converter = _CONVERTERS.get(str(declared.type).partition(" ")[0])
    choices = declared.metadata["choices"]
    return click.RichOption(
        [f"--{declared.name.replace('_', '-')}"],
        type=click.Choice(choices) if choices else converter,
        metavar=None if choices else ("N" if converter else "PATTERN" if declared.default == "*" else "TEXT"),
        default=declared.default,
        help=declared.metadata["help"],
    )


@contextmanager
def _running(invocation: Invocation, state_dir: Path | None) -> Iterator["Faults"]:
    """Yield the faults of the running embedded AWS, and convert errors about them."""
    require_checkout()
    from embedded.faults import Faults  # noqa: PLC0415
    from embedded.server.detached import running_root  # noqa: PLC0415
    from embedded.server.launch import EmbeddedAwsError  # noqa: PLC0415
    from embedded.server.process import fault_folder  # noqa: PLC0415

    try:
        yield Faults(fault_folder(running_root(state_dir or _used_folder(invocation))))
    except EmbeddedAwsError as error:
        raise CommandError(str(error), ExitStatus.FAILED) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _used_folder(invocation: Invocation) -> Path:
    """Return the folder of the running embedded AWS that `choose_folder` chooses."""
    from embedded.server.detached import detached_endpoint  # noqa: PLC0415
    from embedded.server.launch import EmbeddedAwsError  # noqa: PLC0415
    from embedded.server.running_servers import running_state_dirs  # noqa: PLC0415

    running = {}
    for folder in running_state_dirs():
        # Files that another user could have written are not read.
        with suppress(EmbeddedAwsError):
            if (endpoint := detached_endpoint(folder)) is not None:
                running[folder] = endpoint.url
    return choose_folder(running, invocation.connection.endpoint_url or os.environ.get("AWS_ENDPOINT_URL", ""))


def choose_folder(running: Mapping[Path, str], used: str) -> Path:
    """Return the folder of the embedded AWS that other commands of this shell use, else of the only one.

    `running` has the address of each that runs, `used` is the address that the shell uses; empty if
    it uses none.

    Raises:
        CommandError: when none runs, or when it is unclear which is meant.
    """
    own = [folder for folder, url in running.items() if url == used] or list(running)
    if not own:
        raise CommandError(
            "No embedded AWS of yours runs on this machine, and faults happen only there. Start one with "
            '`eval "$(fleetscore up)"`.',
            ExitStatus.FAILED,
        )
    if len(own) > 1:
        folders = ", ".join(shlex.quote(str(folder)) for folder in own)
        raise CommandError(
            f"--state-dir: got none, expected the folder of one of the {len(own):,} embedded AWSs that run, because "
            f"this shell uses none of them. They are in {folders}."
        )
    if used and running[own[0]] != used:
        raise CommandError(
            f"--state-dir: got none, and this shell uses {used}, which is no embedded AWS of yours. One runs in "
            f"{own[0]}: to add faults there, give --state-dir {shlex.quote(str(own[0]))}."
        )
    return own[0]
