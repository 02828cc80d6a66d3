"""`fleetscore logs`: the log lines of an execution's jobs."""

import threading
from collections.abc import Iterable, Sequence

import rich_click as click

from cli.command_line.click_classes import Command, argument
from cli.command_line.invocation import Invocation
from cli.command_line.output import Output
from cli.failures import CommandError, ExitStatus
from cli.stage.diagnosis.attempt_logs import AttemptLogs, LogLine, NewLines
from cli.stage.diagnosis.job_choice import all_items, items_of
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.executions import Executions
from cli.stage.patient_reads import PatientReads
from cli.views.diagnosis.log_lines import log_json, log_texts
from contract.log_groups import LOG_GROUPS
from contract.status import sagemaker_kind
from contract.table.records import AttemptRecord

_MAX_ATTEMPTS = 50
"""Largest number of attempts whose lines are merged. CloudWatch Logs allows few calls per second."""
_SECONDS_BETWEEN_READS = 2.0


@click.command(
    "logs",
    cls=Command,
    examples="""
    fleetscore logs nightly-2026-03-01
    fleetscore logs nightly-2026-03-01 churn --filter object_failed
    fleetscore logs nightly-2026-03-01 churn --follow
    """,
)
@argument("execution", metavar="EXECUTION", help="The execution's id or ARN.")
@argument("job", metavar="[JOB]", required=False, help="A job's id. Default: every job.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="NUMBER", help="Lines of this attempt only.")
@click.option("--filter", "pattern", default="", metavar="PATTERN", help="Lines that match this filter pattern.")
@click.option("--follow", is_flag=True, help="Print new lines until the execution has ended.")
@click.pass_obj
def logs(
    invocation: Invocation, *, execution: str, job: str | None, attempt: int | None, pattern: str, follow: bool
) -> ExitStatus:
    """Show the logs of jobs, merged by time, with events as text.

    PATTERN is a filter pattern of CloudWatch Logs: words such as object_failed, or
    '{ $.event = "object_failed" }'. With --json, each line is a JSON value. Lines may have data.
    """
    executions = Executions(invocation.connection, invocation.deployment())
    snapshot = executions.snapshot(execution, count_committed=False)
    reader = AttemptLogs(invocation.connection)
    printer = _Printer(invocation.output)
    attempts = _attempts(executions, snapshot, job, attempt, follow=follow)
    if not follow:
        printer.show(attempts, reader.read(attempts, snapshot.kind, pattern=pattern))
        if not printer.count:
            invocation.output.notice(_nothing(snapshot, attempts, pattern))
        return ExitStatus.SUCCEEDED
    new_lines, waiting = NewLines(reader, snapshot.kind, pattern), threading.Event()
    reads = PatientReads(invocation.output.notice)

    def read_again() -> tuple[Snapshot, list[AttemptRecord]]:
        now = executions.snapshot(execution, count_committed=False)
        return now, _attempts(executions, now, job, attempt, follow=True)

    def print_new() -> None:
        # A read that fails has printed the oldest of the new lines, and the next one goes on.
        printer.show(attempts, new_lines.read(attempts))

    try:
        while True:
            reads.read(print_new)
            ended = snapshot.ended
            waiting.wait(_SECONDS_BETWEEN_READS)
            if ended:
                # The last lines arrive after the end.
                reads.read(print_new)
                return ExitStatus.SUCCEEDED
            snapshot, attempts = reads.read(read_again)
    except KeyboardInterrupt:
        invocation.output.notice(f"\nThe execution continues. See `fleetscore status {snapshot.execution_id}`.")
        return ExitStatus.INTERRUPTED


def _attempts(
    executions: Executions, snapshot: Snapshot, job: str | None, attempt: int | None, *, follow: bool
) -> list[AttemptRecord]:
    """Return the chosen attempts in order.

    Raises:
        CommandError: when the job does not exist, or when there are too many attempts.
    """
    if not snapshot.jobs:
        if snapshot.ended or not follow:
            raise CommandError(_no_jobs(snapshot))
        return []
    items = items_of(snapshot, job) if job else all_items(snapshot)
    by_job = executions.attempts(snapshot.execution_id)
    found = [
        tried
        for item in items
        for tried in by_job.get(item.job_id, ())
        if tried.sagemaker_job_name and attempt in (None, tried.attempt)
    ]
    if len(found) > _MAX_ATTEMPTS:
        raise CommandError(
            f"JOB: got none, and the logs of {len(found):,} attempts are too many to merge (at most {_MAX_ATTEMPTS}). "
            f"Name a job: `fleetscore status {snapshot.execution_id} --failed` shows those that failed."
            if job is None
            else f"--attempt: got none, expected one, because this job has {len(found):,} attempts of its parts, and "
            f"at most {_MAX_ATTEMPTS} can be merged. Name an attempt, or a part as JOB."
        )
    return found


class _Printer:
    """Prints lines, with their job and instance as soon as there are several."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._hosts: set[tuple[str, int, str]] = set()
        self.count = 0

    def show(self, attempts: Sequence[AttemptRecord], lines: Iterable[LogLine]) -> None:
        for line in lines:
            self.count += 1
            if self._output.as_json:
                self._output.json_line(log_json(line))
                continue
            self._hosts.add((line.job_id, line.attempt, line.host))
            several = len(self._hosts) > len({(job, number) for job, number, _ in self._hosts})
            for text in log_texts(line, with_job=len(attempts) > 1, with_host=several):
                self._output.line(text)


def _no_jobs(snapshot: Snapshot) -> str:
    """Return why an execution without jobs has no logs, and what to do."""
    name, record = snapshot.execution_id, snapshot.record
    if not snapshot.ended and record is not None and record.training_execution_id:
        return f"{name} trains first and has no jobs yet. See `fleetscore logs {record.training_execution_id}`."
    if not snapshot.ended:
        return f"{name} is being planned and has no jobs yet. Add --follow to wait for them."
    return f"{name} has no jobs, so there are no logs of jobs. `fleetscore why {name}` says why."


def _nothing(snapshot: Snapshot, attempts: Sequence[AttemptRecord], pattern: str) -> str:
    """Return why no line was found, and what to do."""
    if not attempts:
        return "No job has started yet." if not snapshot.ended else "No SageMaker job was started."
    if pattern:
        return f"No line matches {pattern!r}. Leave out --filter to see all lines."
    group = LOG_GROUPS[sagemaker_kind(snapshot.kind, spot=attempts[-1].spot)]
    return (
        f"There are no lines in the log group {group} for {attempts[-1].sagemaker_job_name}. A container's lines "
        "arrive some seconds after it has started; attempts that got no instance have none, and old lines are "
        "deleted after the group's retention time."
    )
