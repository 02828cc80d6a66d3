"""The command line `fleetscore`: its sections, and the run of one command."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import rich_click as click
from click.exceptions import Exit, NoArgsIsHelpError
from click.shell_completion import shell_complete

import cli.command_line.boto_without_crt  # noqa: F401 - first, see there
from cli.command_line.click_classes import CONTEXT_SETTINGS, GLOBAL_OPTIONS, PROGRAM, CommandGroup
from cli.command_line.invocation import Invocation
from cli.failures import CommandError, ExitStatus, describe
from contract.control_characters import has_lone_surrogate

_COMPLETION_VARIABLE = "_FLEETSCORE_COMPLETE"
"""Variable that the shell's completion script sets to an instruction, such as `bash_complete`."""


@click.group(
    PROGRAM,
    cls=CommandGroup,
    top=True,
    context_settings=CONTEXT_SETTINGS,
    sections={
        "Models": ["models", "fleets"],
        "Data": ["upload", "predictions"],
        "Executions": ["run", "resume", "retry", "list", "status", "watch", "why", "logs", "stop", "resources"],
        "Planning": ["plan", "estimates", "prices"],
        "Training": ["train"],
        "Automation": ["schedules", "backfill"],
        "Account": ["doctor"],
        "This machine": ["up", "down", "faults"],
    },
    modules={
        "models": "cli.commands.models.models:models",
        "fleets": "cli.commands.models.fleets:fleets",
        "upload": "cli.commands.upload:upload",
        "run": "cli.commands.executions.executions:run",
        "resume": "cli.commands.executions.resume:resume",
        "retry": "cli.commands.executions.resume:retry",
        "list": "cli.commands.diagnosis.execution_list:list_executions",
        "status": "cli.commands.executions.executions:status",
        "watch": "cli.commands.executions.executions:watch_execution",
        "why": "cli.commands.diagnosis.why:why",
        "logs": "cli.commands.diagnosis.logs:logs",
        "stop": "cli.commands.executions.stop:stop",
        "predictions": "cli.commands.predictions:predictions",
        "resources": "cli.commands.resources:resources",
        "plan": "cli.commands.planning.plan:plan",
        "prices": "cli.commands.planning.prices:prices",
        "estimates": "cli.commands.planning.estimates:estimates",
        "train": "cli.commands.models.training:train",
        "schedules": "cli.commands.schedules:schedules",
        "backfill": "cli.commands.executions.backfill:backfill",
        "doctor": "cli.commands.doctor:doctor",
        "up": "cli.commands.local.local:up",
        "down": "cli.commands.local.local:down",
        "faults": "cli.commands.local.faults:faults",
    },
    examples="""
    eval "$(fleetscore up)"
    fleetscore models list
    fleetscore run --wait
    """,
)
@click.version_option(
    package_name="fleetscore", prog_name=PROGRAM, message="%(prog)s %(version)s", panel=GLOBAL_OPTIONS
)
@click.help_option("-h", "--help", panel=GLOBAL_OPTIONS)
def fleetscore() -> None:
    """Score large datasets in S3 with fleets of models, on an AWS account or in an embedded AWS."""


def run(words: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    if instruction := os.environ.get(_COMPLETION_VARIABLE):
        return shell_complete(fleetscore, {}, PROGRAM, _COMPLETION_VARIABLE, instruction)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the locale's encoding lacks is shown as an escape.
            stream.reconfigure(errors="backslashreplace")
    invocation = Invocation()
    try:
        _check_encoding(words)
        with fleetscore.make_context(PROGRAM, list(words), obj=invocation) as context:
            return int(fleetscore.invoke(context))
    except Exit as ended:
        return ended.exit_code
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has read enough.
        sys.stderr.close()
        return int(ExitStatus.SUCCEEDED)
    except Exception as error:
        known = describe(error)
        if invocation.debug:
            # Not printed by the interpreter, because an error's text may have control characters.
            invocation.output.notice("".join(traceback.format_exception(error)).rstrip())
        if known is None:
            invocation.output.notice(f"{PROGRAM}: {_unforeseen(error)}")
            return int(ExitStatus.FAILED)
        text, status = known
        invocation.output.notice(text if isinstance(error, NoArgsIsHelpError) else f"{PROGRAM}: {text}")
        return int(status)


def _unforeseen(error: Exception) -> str:
    """Return a sentence about an error of this program, with its place."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    text = str(error).strip()
    return (
        f"An error that the command does not expect: {type(error).__name__}{place}{f': {text}' if text else ''}. "
        "Run the command again with --debug to see the traceback, and report it."
    )


def _check_encoding(words: Sequence[str]) -> None:
    """Check that every word can be sent to AWS and printed.

    Raises:
        CommandError: naming the word that is not valid text.
    """
    for word in words:
        if has_lone_surrogate(word):
            raise CommandError(f"The argument {word!r} is not valid UTF-8 text. Write it in UTF-8, or rename the file.")
