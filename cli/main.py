"""Entry point of `fleetscore`: parses the command line, runs a command, and turns errors into exit statuses."""

import os
import sys
import traceback
from collections.abc import Sequence

import rich_click as click
from click.exceptions import Exit, NoArgsIsHelpError
from click.shell_completion import shell_complete

from cli.command_line import CONTEXT_SETTINGS, GLOBAL_OPTIONS, PROGRAM, CommandGroup
from cli.failures import ExitStatus, describe
from cli.invocation import Invocation

_COMPLETION_VARIABLE = "_FLEETSCORE_COMPLETE"
"""Variable that the shell's completion script sets to an instruction, such as `bash_complete`."""


@click.group(
    PROGRAM,
    cls=CommandGroup,
    top=True,
    context_settings=CONTEXT_SETTINGS,
    sections={
        "Models": ["models"],
        "Executions": ["run", "status", "watch", "resources"],
        "Training": ["train"],
        "Automation": ["schedules", "backfill"],
        "This machine": ["up", "down"],
    },
    modules={
        "models": "cli.commands.models:models",
        "run": "cli.commands.executions:run",
        "status": "cli.commands.executions:status",
        "watch": "cli.commands.executions:watch_execution",
        "resources": "cli.commands.resources:resources",
        "train": "cli.commands.training:train",
        "schedules": "cli.commands.schedules:schedules",
        "backfill": "cli.commands.backfill:backfill",
        "up": "cli.commands.local:up",
        "down": "cli.commands.local:down",
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if instruction := os.environ.get(_COMPLETION_VARIABLE):
        return shell_complete(fleetscore, {}, PROGRAM, _COMPLETION_VARIABLE, instruction)
    invocation = Invocation()
    try:
        with fleetscore.make_context(PROGRAM, words, obj=invocation) as context:
            return int(fleetscore.invoke(context))
    except Exit as ended:
        return ended.exit_code
    except KeyboardInterrupt:
        return int(ExitStatus.INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has read enough.
        sys.stderr.close()
        return int(ExitStatus.SUCCEEDED)
    except Exception as error:
        known = describe(error)
        if known is None:
            raise
        if invocation.debug:
            traceback.print_exc()
        text, status = known
        invocation.output.notice(text if isinstance(error, NoArgsIsHelpError) else f"{PROGRAM}: {text}")
        return int(status)


if __name__ == "__main__":
    sys.exit(main())
