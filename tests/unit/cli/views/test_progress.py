import io
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from cli.failures import CommandError
from cli.stage.diagnosis.chain import explain, verdict
from cli.stage.diagnosis.evidence import Evidence
from cli.stage.executions.execution_snapshot import Snapshot, WorkflowState
from cli.stage.executions.executions import Executions
from cli.views.diagnosis.failure_lines import reason_lines
from cli.views.executions.execution_figures import overall_rows_per_second
from cli.views.executions.executions import execution_view, jobs_table, snapshot_json, totals_line
from cli.views.executions.progress import LiveProgress, PlainProgress, live_view, progress_for, watch, work
from cli.views.executions.waiting import waiting_lines
from contract.job.parts import JobPart, Sharding
from contract.status import FINAL_JOB_STATUSES, ExecutionKind, ExecutionStatus, FailureKind, JobStatus
from contract.table.job_parts import whole_job
from contract.table.records import JobRecord
from tests.unit.cli.builders import NOW, any_execution, any_job, running_job, succeeded_job


def snapshot_of(
    *jobs: JobRecord, status: str = "RUNNING", recorded: str = "", committed: dict[str, int] | None = None
) -> Snapshot:
    record = any_execution(status=ExecutionStatus(recorded or status))
    return Snapshot("nightly-1", NOW, WorkflowState(status, NOW), record, jobs, committed or {})


class Recorded(Executions):
    """Executions that return prepared snapshots."""

    def __init__(self, *snapshots: Snapshot) -> None:
        self.snapshots = list(snapshots)

    def snapshot(self, execution: str, *, count_committed: bool = True) -> Snapshot:
        if not self.snapshots:
            raise CommandError(execution)
        return self.snapshots.pop(0)


def test_plain_lines_appear_only_when_a_job_changes() -> None:
    lines: list[str] = []
    progress = PlainProgress(lines.append)
    waiting = running_job(status=JobStatus.WAITING, failure_kind=FailureKind.CAPACITY, reason="no instance was free")
    states = [any_job(), any_job(), running_job(), running_job(), waiting, running_job(attempt=2)]
    with progress:
        for job in [*states, succeeded_job(attempt=2), succeeded_job(attempt=2)]:
            progress.show(snapshot_of(job))
    assert lines == [
        "1 job planned over 4 objects",
        "churn: RUNNING, attempt 1 of 3, 4 objects",
        "churn: WAITING, attempt 1 of 3, 4 objects, CAPACITY: no instance was free",
        "churn: RUNNING, attempt 2 of 3, 4 objects",
        "churn: SUCCEEDED, attempt 2 of 3, 1,000 rows, 50 rows/s, 1 of 1 job ended",
    ]


def test_jobs_that_wait_for_capacity_say_for_what_and_since_when() -> None:
    what = "1 instance of ml.m5.xlarge for processing jobs: jobs of this stage use the quota of 2"
    since = "2026-07-01T06:02:00.000Z"
    first = any_job(waiting_for=what, waiting_since="2026-07-01T06:04:00.000Z")
    second = any_job(job_id="upsell", waiting_for=what, waiting_since=since)
    line = f"2 jobs wait for {what}, since 2026-07-01 06:02:00 UTC"
    snapshot = snapshot_of(first, second, running_job(job_id="fraud"))
    lines: list[str] = []
    progress = PlainProgress(lines.append)
    progress.show(snapshot)
    assert lines[1] == f"churn: PENDING, attempt 0 of 3, 4 objects, waits for {what}"
    assert f"{line}." in execution_view(snapshot, {})
    console = Console(file=io.StringIO(), width=200)
    console.print(live_view(snapshot, 10))
    assert line in console.file.getvalue()  # type: ignore[attr-defined]
    assert verdict(Evidence(snapshot)) == "nightly-1 is RUNNING, and no job has failed so far; 2 wait for capacity."
    (step,) = explain(Evidence(snapshot)).steps
    assert (step.what, step.text) == ("2 jobs wait for capacity", what)
    assert "and waits for capacity" in verdict(Evidence(snapshot, asked_job="churn", job=first))
    assert waiting_lines(replace(snapshot, workflow=WorkflowState("ABORTED", NOW))) == []


def test_objects_that_several_jobs_read_are_counted_once() -> None:
    lines: list[str] = []
    jobs = [any_job(), any_job(job_id="upsell"), any_job(job_id="fraud", dataset="cards", object_count=3)]
    PlainProgress(lines.append).show(snapshot_of(*jobs))
    assert lines[0] == "3 jobs planned over 7 objects"


def test_uncounted_rows_are_not_shown() -> None:
    lines: list[str] = []
    scripted = succeeded_job(kind=ExecutionKind.TRAINING, rows_in=0, outcome="version 2 is current now: auc 0.9")
    PlainProgress(lines.append).show(snapshot_of(scripted))
    assert lines[-1] == "churn: SUCCEEDED, attempt 1 of 3, 1 of 1 job ended, version 2 is current now: auc 0.9"
    PlainProgress(lines.append).show(snapshot_of(succeeded_job(rows_in=0)))
    assert "0 rows, 0 rows/s" in lines[-1], "rows of a scoring job are known, even 0"


def test_line_of_a_failed_job_has_the_reason_and_one_kind() -> None:
    lines: list[str] = []
    failed = running_job(
        status=JobStatus.FAILED, ended_at="2026-03-01T12:00:25Z", failure_kind=FailureKind.DATA, reason="a.parquet [x]"
    )
    PlainProgress(lines.append).show(snapshot_of(failed))
    assert "FAILED, attempt 1 of 3, 4 objects, 1 of 1 job ended, DATA: a.parquet [x]" in lines[-1]
    PlainProgress(lines.append).show(snapshot_of(replace(failed, reason="DATA: message of the container")))
    assert "ended, DATA: message of the container" in lines[-1]


def test_notes_of_a_job_are_shown_although_it_succeeded() -> None:
    notes = ("churn: predicted by daal4py", "churn: InconsistentVersionWarning: …")
    lines = reason_lines(snapshot_of(succeeded_job(notes=notes)), {})
    assert lines == [f"churn, note: {note}" for note in notes]


def test_a_line_is_printed_at_once_and_then_every_30_seconds() -> None:
    lines: list[str] = []
    seconds = iter(range(0, 1000, 10))
    progress = PlainProgress(lines.append, clock=lambda: next(seconds))
    progress.show(Snapshot("nightly-1", NOW, WorkflowState("RUNNING", NOW), None))
    assert lines == ["nightly-1: RUNNING. The execution is being planned."]
    waiting = Snapshot("nightly-1", NOW, WorkflowState("RUNNING", NOW), any_execution(plan=None, resumes="sunday-1"))
    assert waiting.note == "The execution is being planned, once every SageMaker job of sunday-1 has ended."
    running = snapshot_of(running_job(), succeeded_job("ads"), committed={"churn": 1})
    for _ in range(7):
        progress.show(running)
    again = "nightly-1: RUNNING, 1 of 2 jobs ended, 1 running, 1,000 rows, 10 of them in quarantine, "
    again += "5 of 8 objects (counted per job)"
    assert lines[4:] == [again, again]
    progress.show(snapshot_of(succeeded_job(), succeeded_job("ads"), status="SUCCEEDED"))
    assert lines[6:] == ["churn: SUCCEEDED, attempt 1 of 3, 1,000 rows, 50 rows/s, 2 of 2 jobs ended"]


def test_a_training_that_is_waited_for_is_in_the_line_of_its_execution() -> None:
    lines: list[str] = []
    training = Snapshot("t-1", NOW, WorkflowState("RUNNING", NOW), any_execution(kind=ExecutionKind.TRAINING),
        (running_job(kind=ExecutionKind.TRAINING),))  # fmt: skip
    waiting = replace(snapshot_of(), training=training, record=any_execution(training_execution_id="t-1", plan=None))
    seconds = iter(range(0, 1000, 40))
    progress = PlainProgress(lines.append, clock=lambda: next(seconds))
    progress.show(waiting)
    progress.show(waiting)
    assert lines[-1] == (
        "nightly-1: RUNNING, 0 of 1 job ended, 1 running, 0 rows. The execution trains first, in execution t-1."
    )


def test_a_long_reason_is_shown_completely_only_at_the_end() -> None:
    lines: list[str] = []
    reason = "no instance was free, " * 20
    failed = running_job(status=JobStatus.FAILED, ended_at="2026-03-01T12:00:25Z", reason=reason)
    PlainProgress(lines.append).show(snapshot_of(failed))
    assert lines[-1].endswith(f"{reason[:120]}…")
    assert reason_lines(snapshot_of(failed), {}) == [f"churn: {reason}"]


def test_progress_line_is_not_wrapped_and_keeps_brackets() -> None:
    console = Console(file=io.StringIO(), width=80)
    failed = running_job(status=JobStatus.FAILED, ended_at="2026-03-01T12:00:25Z", reason="[bold] " + "word " * 100)
    progress_for(console).show(snapshot_of(failed))
    assert isinstance(console.file, io.StringIO)
    [_, line] = console.file.getvalue().splitlines()
    assert "[bold] word" in line


def test_watching_ends_when_the_execution_has_ended() -> None:
    lines: list[str] = []
    executions = Recorded(snapshot_of(running_job()), snapshot_of(succeeded_job(), status="SUCCEEDED"))
    last = watch(executions, "nightly-1", PlainProgress(lines.append), seconds_between_reads=0)
    assert last.ended
    assert executions.snapshots == []
    assert len(lines) == 3


def test_watching_waits_for_the_records_of_a_stopped_execution() -> None:
    open_records = snapshot_of(running_job(), status="ABORTED", recorded="RUNNING")
    closed = snapshot_of(running_job(status=JobStatus.FAILED), status="ABORTED", recorded="FAILED")
    assert watch(Recorded(open_records, open_records, closed), "nightly-1", None, seconds_between_reads=0) is closed


def test_watching_ends_when_records_are_never_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.views.executions.progress._SECONDS_TO_CLOSE", -1)
    open_records = snapshot_of(running_job(), status="ABORTED", recorded="RUNNING")
    assert watch(Recorded(open_records), "nightly-1", None, seconds_between_reads=0) is open_records


def test_watching_ends_when_stopped() -> None:
    stop = threading.Event()
    stop.set()
    last = watch(Recorded(snapshot_of(running_job())), "nightly-1", None, seconds_between_reads=600, stop=stop)
    assert not last.ended


def test_watching_an_unknown_execution_is_refused() -> None:
    with pytest.raises(CommandError):
        watch(Recorded(), "nothing", None)


def render(snapshot: Snapshot, lines: int, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(live_view(snapshot, lines))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_live_view_has_one_line_per_job_and_a_total() -> None:
    text = render(snapshot_of(running_job("ads"), succeeded_job("offers"), committed={"ads": 3}), 20)
    [running] = [line for line in text.splitlines() if line.startswith("ads")]
    [succeeded] = [line for line in text.splitlines() if line.startswith("offers")]
    assert running.split() == ["ads", "RUNNING", "1/3", "3/4", "25.0"]
    assert succeeded.split() == ["offers", "SUCCEEDED", "1/3", "4/4", "1,000", "50", "20.0"]
    assert "1 of 2 jobs ended, 1 running, 1,000 rows" in text


def test_statuses_and_figures_are_not_cut_at_80_columns() -> None:
    big = {"object_count": 1_000, "rows_in": 120_000_835, "rows_scored": 120_000_835}
    long_id = "flights-from-the-airport-with-the-longest-name-of-all-and-more"
    snapshot = snapshot_of(succeeded_job(long_id, **big), succeeded_job("ads"))
    text = render(snapshot, 20, width=80)
    assert text.splitlines()[-2].startswith("━━━━")
    assert text.splitlines()[-1].startswith("2 of 2 jobs ended, 120,001,835 rows")
    figures = ["SUCCEEDED", "1/3", "1,000/1,000", "120,000,835", "6,000,042", "20.0"]
    [line] = [line for line in text.splitlines() if line.startswith("flights")]
    assert line.split()[1:] == figures
    console = Console(file=io.StringIO(), width=80)
    console.print(jobs_table(snapshot))
    assert isinstance(console.file, io.StringIO)
    [line] = [line for line in console.file.getvalue().splitlines() if line.startswith("flights")]
    assert line.split()[1:] == figures


def test_running_jobs_come_first_when_not_all_jobs_fit() -> None:
    jobs = [*(succeeded_job(f"done-{index:03}") for index in range(300)), running_job("zebra")]
    text = render(snapshot_of(*jobs), 3)
    assert "zebra" in text
    assert "done-000" in text
    assert "done-002" not in text
    assert "and 298 more jobs" in text


def test_live_view_says_that_the_execution_is_being_planned() -> None:
    snapshot = Snapshot("nightly-1", NOW, WorkflowState("RUNNING", NOW), None)
    assert "being planned" in render(snapshot, 5)


def test_work_counts_committed_objects_of_running_jobs() -> None:
    jobs = (running_job("ads"), succeeded_job("offers"), any_job("churn"))
    assert work(snapshot_of(*jobs, committed={"ads": 1})) == (5_000, 12_000)


def test_progress_is_a_table_on_a_terminal_and_lines_elsewhere() -> None:
    assert isinstance(progress_for(Console(file=io.StringIO())), PlainProgress)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, height=20)
    progress = progress_for(terminal)
    assert isinstance(progress, LiveProgress)
    with progress:
        progress.show(snapshot_of(running_job("ads")))
    assert isinstance(terminal.file, io.StringIO)
    assert "ads" in terminal.file.getvalue()


def test_overall_rate_starts_with_the_first_job() -> None:
    first = succeeded_job("ads", started_at="2026-03-01T12:00:05Z", ended_at="2026-03-01T12:00:10Z")
    second = succeeded_job("churn", started_at="2026-03-01T12:00:10Z", ended_at="2026-03-01T12:00:15Z")
    assert overall_rows_per_second(snapshot_of(first, second)) == 200
    assert overall_rows_per_second(snapshot_of(first, running_job())) == 40
    assert overall_rows_per_second(snapshot_of(any_job())) is None


def test_a_split_job_is_one_job_with_its_parts() -> None:
    sharding = Sharding(2, 3_000, 2_000)
    parts = tuple(
        made(f"churn.part-{number}-of-2", part=JobPart("churn", number, 2), sharding=sharding, **changes)
        for number, made, changes in (
            (1, succeeded_job, {}),
            (2, running_job, {"status": JobStatus.FAILED, "ended_at": "2026-03-01T12:00:25Z", "object_count": 1,
                "failure_kind": FailureKind.DATA, "reason": "DATA: object 'b.csv': no rows"}),
        )
    )  # fmt: skip
    job = whole_job(parts)
    snapshot = replace(snapshot_of(job, status="FAILED"), parts={"churn": parts})
    output = io.StringIO()
    Console(file=output, width=120).print(jobs_table(snapshot))
    lines = output.getvalue().splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["churn", "part", "part"]
    assert "FAILED" in lines[1]
    assert lines[2].startswith("  part 1 of 2  SUCCEEDED")
    assert lines[3].startswith("  part 2 of 2  FAILED")
    assert "1 of 1 job ended, 1 failed" in totals_line(snapshot)
    reasons = reason_lines(snapshot, {})
    assert reasons[0] == "churn, part 2 of 2: DATA: object 'b.csv': no rows"
    assert reasons[1].startswith("churn, note: split into 2 parts")
    (shown,) = snapshot_json(snapshot)["jobs"]
    assert (shown["job_id"], shown["object_count"], shown["reason"]) == (
        "churn", 5, "part 2 of 2: DATA: object 'b.csv': no rows",
    )  # fmt: skip
    assert [part["part"]["number"] for part in shown["parts"]] == [1, 2]
    written: list[str] = []
    PlainProgress(written.append).show(snapshot)
    assert written[1].startswith("churn, part 1 of 2: SUCCEEDED")
    assert written[2].endswith("DATA: object 'b.csv': no rows")
    assert written[3] == "churn: FAILED, attempt 1 of 3, 4/5 objects, 1 of 1 job ended"


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        ("PENDING PENDING", "PENDING"),
        ("PENDING SUCCEEDED", "RUNNING"),
        ("WAITING SUCCEEDED", "WAITING"),
        ("RUNNING WAITING", "RUNNING"),
        ("RUNNING FAILED", "RUNNING"),
        ("SUCCEEDED FAILED", "FAILED"),
        ("SUCCEEDED SUCCEEDED", "SUCCEEDED"),
    ],
)
def test_a_job_has_ended_when_all_of_its_parts_have(statuses: str, whole: str) -> None:
    parts = [
        any_job(f"churn.part-{number}-of-2", part=JobPart("churn", number, 2), status=JobStatus(status),
            ended_at="2026-03-01T12:00:25Z" if status in FINAL_JOB_STATUSES else "")
        for number, status in enumerate(statuses.split(), 1)
    ]  # fmt: skip
    job = whole_job(parts)
    assert (job.status, bool(job.ended_at)) == (JobStatus(whole), whole in FINAL_JOB_STATUSES)
