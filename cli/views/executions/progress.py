"""Progress of an execution until it ends: a live table on a terminal, else one line per change."""

import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.command_line.output import Output
from cli.stage.diagnosis.job_choice import job_name
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.executions import Executions
from cli.stage.patient_reads import PatientReads
from cli.views.executions.deadline import deadline_line
from cli.views.executions.execution_figures import (
    committed_objects,
    distinct_objects,
    objects_done,
    overall_rows_per_second,
    rows_counted,
    rows_per_second,
)
from cli.views.executions.executions import JOB_ORDER, job_cells, job_reason, objects_text, totals_line
from cli.views.executions.waiting import waiting_lines
from cli.views.tables import add_row, counted, one_line, plain_text
from contract.status import ExecutionKind, JobStatus
from contract.table.records import JobRecord

SECONDS_BETWEEN_READS = 2.0
_SECONDS_TO_CLOSE = 20.0
"""Longest wait for the final records of a stopped execution, in seconds.

EventBridge usually needs a few.
"""
_JOBS_READ_PER_SECOND = 500
"""Limit on reads of large fleets. A read of n jobs costs about n/8 DynamoDB read units."""
_REFRESHES_PER_SECOND = 4
SECONDS_BETWEEN_LINES = 30.0
"""Longest silence without a terminal, in seconds, so that a reader of a log sees that it is alive."""
_REASON_CHARACTERS = 120
"""Longest part of a reason in the line of a job, in characters."""
_LINES_BESIDE_JOBS = 9
"""Lines of the terminal that do not show jobs."""
_BAR_WIDTH = 78


class Progress(Protocol):
    """Shows snapshots of an execution."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def show(self, snapshot: Snapshot) -> None: ...


def progress_for(console: Console) -> Progress:
    return LiveProgress(console) if console.is_terminal else PlainProgress(Output(console=console).line)


def watch(
    executions: Executions,
    execution: str,
    progress: Progress | None,
    *,
    seconds_between_reads: float = SECONDS_BETWEEN_READS,
    stop: threading.Event | None = None,
    reads: PatientReads | None = None,
) -> Snapshot:
    """Read the execution repeatedly until it has ended or `stop` is set; return the last snapshot.

    `reads` repeats reads that AWS throttles; without it, their error is raised.

    Raises:
        CommandError: when the execution does not exist.
    """
    waiting = stop or threading.Event()

    def read() -> Snapshot:
        return executions.snapshot(execution)

    patient_read = read if reads is None else partial(reads.read, read)
    if progress is None:
        return _watch(patient_read, lambda _: None, seconds_between_reads, waiting)
    with progress:
        return _watch(patient_read, progress.show, seconds_between_reads, waiting)


def _watch(
    read: Callable[[], Snapshot], show: Callable[[Snapshot], None], seconds: float, stop: threading.Event
) -> Snapshot:
    ended_at: float | None = None
    while True:
        snapshot = read()
        show(snapshot)
        if snapshot.ended and ended_at is None:
            ended_at = time.monotonic()
        settled = snapshot.closed or (ended_at is not None and time.monotonic() - ended_at > _SECONDS_TO_CLOSE)
        if snapshot.ended and settled:
            return snapshot
        if stop.wait(max(seconds, len(snapshot.jobs) / _JOBS_READ_PER_SECOND)):
            return snapshot


class PlainProgress:
    """Prints a line when a job's status or attempt changes, and at least one line every 30 seconds."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._print = write
        self._clock = clock
        self._printed_at: float | None = None
        self._seen: dict[tuple[str, str], tuple[JobStatus, int, str]] = {}
        self._announced: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no terminal state was changed."""

    def show(self, snapshot: Snapshot) -> None:
        self._show_changes(snapshot)
        silent = self._printed_at is None or self._clock() - self._printed_at >= SECONDS_BETWEEN_LINES
        if silent and not snapshot.ended:
            self._write(state_line(snapshot))

    def _write(self, line: str) -> None:
        self._print(line)
        self._printed_at = self._clock()

    def _show_changes(self, snapshot: Snapshot) -> None:
        if snapshot.training is not None:
            self._show_changes(snapshot.training)
        execution_id = snapshot.execution_id
        if snapshot.jobs and execution_id not in self._announced:
            self._announced.add(execution_id)
            objects = distinct_objects(snapshot.jobs)
            kind = "training job" if snapshot.kind is ExecutionKind.TRAINING else "job"
            self._write(f"{counted(len(snapshot.jobs), kind)} planned over {counted(objects, 'object')}")
        ended = sum(job.ended_at != "" for job in snapshot.jobs)
        for job in (item for whole in snapshot.jobs for item in (*snapshot.parts.get(whole.job_id, ()), whole)):
            state = (job.status, job.attempt, job.waiting_for)
            before = self._seen.get((execution_id, job.job_id), (JobStatus.PENDING, 0, ""))
            if state != before:
                self._seen[(execution_id, job.job_id)] = state
                self._write(self._line(job, snapshot, ended))

    @staticmethod
    def _line(job: JobRecord, snapshot: Snapshot, ended: int) -> str:
        words = [f"{job_name(job)}: {job.status}, attempt {job.attempt} of {job.max_attempts}"]
        if rows_counted(job):
            rate = rows_per_second(job, snapshot.read_at)
            words.append(f"{counted(job.rows_in, 'row')}" + (f", {rate:,.0f} rows/s" if rate is not None else ""))
        elif job.status is not JobStatus.SUCCEEDED:
            words.append(f"{objects_text(job, snapshot)} {'object' if job.object_count == 1 else 'objects'}")
        if job.waiting_for:
            words.append(f"waits for {job.waiting_for}")
        if job.ended_at and not job.part:
            words.append(f"{ended:,} of {counted(len(snapshot.jobs), 'job')} ended")
        # Last, because a reason has sentences. That of a split job has its part's line.
        if (job.reason or job.outcome) and job.job_id not in snapshot.parts:
            words.append(_shortened(job_reason(job)) if job.reason else job.outcome)
        return one_line(", ".join(words))


def state_line(snapshot: Snapshot) -> str:
    """Return a sentence about a running execution: its status, ended jobs and committed objects."""
    followed = snapshot.training or snapshot
    words = [f"{snapshot.execution_id}: {snapshot.status}"]
    if followed.jobs:
        words += [totals_line(followed), *_objects_so_far(followed)]
        words += [line.rstrip(".") for line in waiting_lines(followed)]
    deadline = f". {line}" if (line := deadline_line(snapshot)) else ""
    note = f". {snapshot.note}" if snapshot.note else ""
    return one_line(", ".join(words) + deadline + note)


def _objects_so_far(snapshot: Snapshot) -> list[str]:
    """Return the number of committed objects; nothing for a training, which commits none."""
    if snapshot.kind is ExecutionKind.TRAINING:
        return []
    done, objects = committed_objects(snapshot)
    per_job = " (counted per job)" if len(snapshot.jobs) > 1 else ""
    return [f"{done:,} of {counted(objects, 'object')}{per_job}"]


def _shortened(reason: str) -> str:
    """Return the beginning of a long reason, which is shown completely when the execution ends."""
    return reason if len(reason) <= _REASON_CHARACTERS else f"{reason[:_REASON_CHARACTERS]}…"


class LiveProgress:
    """Redraws a table on the terminal: one line per job, and a bar for all of them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=_REFRESHES_PER_SECOND, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, snapshot: Snapshot) -> None:
        self._live.update(live_view(snapshot.training or snapshot, max(3, self._console.height - _LINES_BESIDE_JOBS)))


def live_view(snapshot: Snapshot, lines: int) -> RenderableType:
    """Return a table of at most `lines` jobs, running ones first, with the total bar."""
    if not snapshot.jobs:
        return plain_text(snapshot.note or f"{snapshot.status}", "dim")
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    # On a narrow terminal, only job ids are shortened.
    table.add_column("job", overflow="ellipsis")
    table.add_column("status", no_wrap=True)
    for name in ("attempt", "objects", "rows", "rows/s", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = list(snapshot.jobs)
    if len(shown) > lines:
        shown = sorted(shown, key=lambda job: (JOB_ORDER[job.status], job.job_id))[:lines]
    for job in shown:
        add_row(table, *job_cells(job, snapshot))
    parts: list[RenderableType] = [table]
    hidden = len(snapshot.jobs) - len(shown)
    if hidden:
        parts.append(Text(f"… and {hidden:,} more jobs", style="dim"))
    speed = overall_rows_per_second(snapshot)
    rate = f", {speed:,.0f} rows/s" if speed else ""
    done, all_work = work(snapshot)
    # The bar is in a grid, because a bar alone does not end its line.
    bar = Table.grid()
    bar.add_row(ProgressBar(total=all_work, completed=done, width=_BAR_WIDTH))
    waiting = [plain_text(line, "yellow") for line in waiting_lines(snapshot)]
    deadline = [plain_text(line)] if (line := deadline_line(snapshot)) else []
    return Group(*parts, bar, Text(totals_line(snapshot) + rate), *waiting, *deadline)


def work(snapshot: Snapshot) -> tuple[float, float]:
    """Return the finished and the total input bytes.

    Running jobs count by committed objects, failed jobs in full.
    """
    done = 0.0
    for job in snapshot.jobs:
        if job.ended_at:
            done += job.input_bytes
        elif job.object_count:
            done += job.input_bytes * (objects_done(job, snapshot) or 0) / job.object_count
    return done, float(sum(job.input_bytes for job in snapshot.jobs))
