"""`fleetscore stop`: end a running execution."""

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.commands.executions.executions import execution_argument
from cli.failures import ExitStatus
from cli.stage.catalog.catalog import caller
from cli.stage.executions.executions import Executions
from cli.stage.executions.stopping import MAX_CAUSE_CHARACTERS, request_stop
from cli.stage.patient_reads import PatientReads
from cli.views.executions.executions import snapshot_json
from cli.views.executions.progress import watch
from cli.views.executions.stopping import stopped_lines
from contract.problems import InvalidInputError, Problem


@click.command(
    "stop",
    cls=Command,
    examples="""
    fleetscore stop nightly-2026-03-01
    fleetscore stop nightly-2026-03-01 --cause "wrong dataset"
    fleetscore stop nightly-2026-03-01 --no-wait --json
    """,
)
@execution_argument
@click.option("--cause", metavar="TEXT", help="Reason, kept in the execution's record. Default: who stopped it.")
@click.option("--no-wait", is_flag=True, help="Do not wait until the records of its jobs are closed.")
@click.pass_obj
def stop(invocation: Invocation, *, execution: str, cause: str | None, no_wait: bool) -> ExitStatus:
    """Stop a running execution and its jobs.

    Committed outputs stay in S3, and `fleetscore resume` continues from them. An execution that has
    ended stays as it is. It may also be a training execution.
    """
    if cause is not None and not 0 < len(cause) <= MAX_CAUSE_CHARACTERS:
        problem = Problem("--cause", cause, f"1 to {MAX_CAUSE_CHARACTERS:,} characters")
        raise InvalidInputError("stop", [problem])
    executions = Executions(invocation.connection, invocation.changed_deployment())
    cause = cause or f"stopped with `fleetscore stop` by {caller(invocation.connection)}"
    requested = request_stop(executions, execution, cause)
    waits = requested.sent and not no_wait
    # Follows this execution by its ARN, because the other workflow may have one of the same name.
    address = requested.before.workflow.arn if requested.before.workflow is not None else execution
    reads = PatientReads(invocation.output.notice)
    after = watch(executions, address, None, reads=reads) if waits else executions.snapshot(address)
    value = {**snapshot_json(after), "stop_requested": requested.sent}
    invocation.output.data(value, *stopped_lines(requested, after))
    return ExitStatus.SUCCEEDED
