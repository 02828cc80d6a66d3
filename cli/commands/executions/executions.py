"""`fleetscore run`, `status` and `watch`: start, show and follow executions."""

from datetime import datetime
from typing import Any

import rich_click as click
from botocore.exceptions import BotoCoreError, ClientError

from cli.command_line.click_classes import Command, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import plan_options, request_option, start_options, words
from cli.command_line.output import Output
from cli.commands.executions import request_check
from cli.commands.executions.request_text import read_request, with_names
from cli.commands.executions.table_options import TableOptions, table_options, with_snapshot
from cli.commands.planning.plan import confirm_plan, show_plan
from cli.failures import CommandError, ExitStatus
from cli.stage.deployment import Deployment
from cli.stage.diagnosis.execution_list import ExecutionList, ListChoice
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.executions import Executions, check_request
from cli.stage.patient_reads import PatientReads
from cli.views.executions.executions import SOME_JOBS, JobChoice, execution_view, snapshot_json
from cli.views.executions.progress import progress_for, watch
from cli.views.tables import shown_time
from contract.status import ExecutionKind
from contract.table.records import AttemptRecord

Attempts = dict[str, list[AttemptRecord]]
"""Attempts of an execution's jobs and parts, by the id of the job or part."""

execution_argument = argument("execution", metavar="EXECUTION", help="The execution's id or ARN.")


@click.command(
    "run",
    cls=Command,
    examples="""
    fleetscore run
    fleetscore run --fleets flights --wait
    fleetscore run --input '{"models": ["churn"], "dataset": "customers-2026"}'
    fleetscore run --input @request.json --check
    fleetscore run --input @request.json --confirm
    fleetscore run --table delta --input '{"dataset": "events"}'
    """,
)
@request_option
@click.option("--models", type=words, metavar="A,B", help="Models to score. Default: every enabled model.")
@click.option("--fleets", type=words, metavar="A,B", help="Fleets to score. Default: every fleet, without --models.")
@table_options
@plan_options
@start_options
@click.pass_obj
def run(
    invocation: Invocation,
    *,
    request: str,
    models: list[str] | None,
    fleets: list[str] | None,
    table: TableOptions,
    name: str | None,
    wait: bool,
    check: str | None,
    plan: bool,
    confirm: bool,
) -> ExitStatus:
    """Start an execution, and print its id."""
    output = invocation.output
    request_json = with_names(read_request(request), models=models, fleets=fleets)
    check_request(request_json)
    choice = table.choice(request_json)
    if check is not None or plan:
        if choice is not None and check != "form":
            request_json = with_snapshot(request_json, choice, invocation.connection, invocation.deployment(), output)
        if check is None:
            return show_plan(invocation, request_json)
        return request_check.check(invocation, ExecutionKind.SCORING, request_json, check)
    deployment = invocation.changed_deployment()
    executions = Executions(invocation.connection, deployment)
    if choice is not None:
        request_json = with_snapshot(request_json, choice, invocation.connection, deployment, output)
    if confirm:
        confirm_plan(invocation, request_json)
    return start(executions, request_json, output, name=name, wait=wait)


def start(
    executions: Executions,
    request_json: str,
    output: Output,
    *,
    name: str | None,
    wait: bool,
    kind: ExecutionKind = ExecutionKind.SCORING,
) -> ExitStatus:
    """Start an execution and print its id, or follow it until it ends."""
    trains = kind is ExecutionKind.TRAINING
    since = executions.running_since(kind, name) if name else None
    execution_id = (executions.start_training if trains else executions.start)(request_json, name)
    tell_if_running(output, execution_id, since)
    if not wait:
        arn = (executions.training_arn if trains else executions.execution_arn)(execution_id)
        output.data(started_json(execution_id, arn, since), execution_id)
        return ExitStatus.SUCCEEDED
    output.line(f"{'Training execution' if trains else 'Execution'} {execution_id}")
    return follow(executions, execution_id, output)


@click.command(
    "status",
    cls=Command,
    examples="""
    fleetscore status
    fleetscore status nightly-2026-03-01
    fleetscore status nightly-2026-03-01 --failed
    fleetscore status nightly-2026-03-01 --json
    """,
)
@argument(
    "execution", metavar="[EXECUTION]", required=False, help="The execution's id or ARN. Default: the latest scoring."
)
@click.option("--failed", is_flag=True, help="Show failed jobs only.")
@click.option("--all", "every", is_flag=True, help="Show every job, even of very large executions.")
@click.pass_obj
def status(invocation: Invocation, *, execution: str | None, failed: bool, every: bool) -> ExitStatus:
    """Show an execution, its jobs, and why they failed."""
    deployment = invocation.deployment()
    executions = Executions(invocation.connection, deployment)
    chosen = execution or latest(invocation, deployment)
    snapshot = executions.snapshot(chosen)
    _print(snapshot, _attempts(executions, snapshot), invocation.output, JobChoice(failed, every))
    return ExitStatus.SUCCEEDED


def latest(invocation: Invocation, deployment: Deployment) -> str:
    """Return the id of the latest scoring execution, and say which it is on standard error.

    Raises:
        CommandError: when there is none.
    """
    found = ExecutionList(invocation.connection, deployment).read(ListChoice(ExecutionKind.SCORING), 1)
    if not found:
        raise CommandError(
            f"There is no scoring execution in stage {deployment.stage!r}. Start one with `fleetscore run`, or name "
            "a training execution of `fleetscore list --training`."
        )
    [newest] = found
    started = shown_time(newest.started_at.isoformat())
    invocation.output.notice(f"The latest scoring execution is {newest.execution_id}, started {started}.")
    return newest.execution_id


@click.command("watch", cls=Command, examples="fleetscore watch nightly-2026-03-01")
@execution_argument
@click.pass_obj
def watch_execution(invocation: Invocation, *, execution: str) -> ExitStatus:
    """Follow an execution until it ends.

    Its outcome is the exit status. Ctrl-C ends the command; the execution continues.
    """
    executions = Executions(invocation.connection, invocation.deployment())
    return follow(executions, execution, invocation.output)


def tell_if_running(output: Output, execution_id: str, since: datetime | None) -> None:
    """Say that an execution with this name and request ran already; say nothing if `since` is None."""
    if since is not None:
        started = shown_time(since.isoformat())
        output.notice(f"Execution {execution_id} is already running since {started}. Nothing was started.")


def started_json(execution_id: str, arn: str, since: datetime | None) -> dict[str, Any]:
    """Return the JSON value of a start; `already_running_since` is null for a new execution."""
    return {
        "execution_id": execution_id,
        "execution_arn": arn,
        "already_running_since": since.isoformat() if since is not None else None,
    }


def follow(executions: Executions, execution: str, output: Output) -> ExitStatus:
    """Show progress until the execution ends, then its outcome; return its exit status."""
    progress = None if output.as_json else progress_for(output.console)
    reads = PatientReads(output.notice)
    try:
        snapshot = watch(executions, execution, progress, reads=reads)
        attempts = reads.read(lambda: _attempts(executions, snapshot))
    except KeyboardInterrupt:
        output.notice(
            f"\nThe execution continues. Follow it again with `fleetscore watch {execution}`; "
            f"stop it with `fleetscore stop {execution}`."
        )
        return ExitStatus.INTERRUPTED
    except (BotoCoreError, ClientError):
        output.notice(f"The state of the execution cannot be read. Follow it with `fleetscore watch {execution}`.")
        raise
    _print(snapshot, attempts, output)
    return snapshot.exit_status


def _attempts(executions: Executions, snapshot: Snapshot) -> Attempts:
    return executions.attempts(snapshot.execution_id) if snapshot.jobs else {}


def _print(snapshot: Snapshot, attempts: Attempts, output: Output, choice: JobChoice = SOME_JOBS) -> None:
    view = execution_view(snapshot, attempts, choice, width=output.terminal_width)
    output.data(snapshot_json(snapshot, attempts, choice), *view)
