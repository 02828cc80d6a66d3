import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from cli.command_line.output import Output
from cli.stage.diagnosis.failure_groups import Failure, group_failures
from cli.stage.executions.execution_snapshot import Snapshot, WorkflowState
from cli.views.diagnosis.facts import fact_lines, predictions_uris
from cli.views.diagnosis.failure_lines import Attempts, reason_lines
from cli.views.executions.execution_figures import expected_end
from cli.views.executions.executions import SOME_JOBS, JobChoice, execution_view, snapshot_json
from cli.views.wrapping import wrapped
from contract.status import ExecutionKind, ExecutionStatus, FailureKind, JobStatus
from contract.table.records import JobRecord
from tests.unit.cli.builders import NOW, any_attempt, any_execution, any_job, running_job, succeeded_job

STOPPED = "The execution was stopped by hand before this job ended (enough). Start a new execution for what is missing."


def snapshot_of(
    *jobs: JobRecord, status: str = "RUNNING", cause: str = "", committed: dict[str, int] | None = None
) -> Snapshot:
    recorded = ExecutionStatus.FAILED if status == "ABORTED" else ExecutionStatus(status)
    started = NOW - timedelta(seconds=60)
    workflow = WorkflowState(status, started, None if status == "RUNNING" else NOW, cause=cause)
    return Snapshot("nightly-1", NOW, workflow, any_execution(status=recorded), jobs, committed or {})


def failed(job_id: str, reason: str, **changes: Any) -> JobRecord:
    fields = {"failure_kind": FailureKind.DATA, "sagemaker_job_name": f"dev-{job_id}-00112233aabbccdd-1", **changes}
    return running_job(job_id, status=JobStatus.FAILED, ended_at="2026-03-01T12:00:25Z", reason=reason, **fields)


def shown(snapshot: Snapshot, width: int, choice: JobChoice = SOME_JOBS, attempts: Attempts | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    Output(console=console).show(*execution_view(snapshot, attempts or {}, choice))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_three_thousand_stopped_jobs_are_at_most_20_lines() -> None:
    jobs = [failed(f"churn-{number}", STOPPED, failure_kind=FailureKind.STOPPED) for number in range(3_000)]
    attempts = {job.job_id: [any_attempt(job.job_id, reason="killed: exit code: 137")] for job in jobs[:1_406]}
    snapshot = snapshot_of(*jobs, status="ABORTED", cause="enough")
    lines = shown(snapshot, 400, attempts=attempts)
    assert len(lines) <= 20
    assert f"3,000 jobs (churn-0, churn-1, churn-2 and 2,997 more): STOPPED: {STOPPED}" in lines
    assert "1,406 jobs (churn-0, churn-1, churn-2 and 1,403 more), attempt 1: killed: exit code: 137" in lines
    assert "… and 2,994 more jobs (2,994 FAILED); --all shows them" in lines
    assert lines[-1] == "Why: `fleetscore why nightly-1`"
    assert len(shown(snapshot, 400, JobChoice(every=True))) > 3_000
    json = snapshot_json(snapshot, attempts)
    assert [len(group["jobs"]) for group in json["failures"]] == [3_000, 1_406]
    assert len(json["jobs"]) == 3_000


def test_reasons_that_differ_in_names_and_numbers_are_one_line() -> None:
    reasons = {
        "ads": "1 of 2 objects failed: object 'a.csv': row 7 has no 'age'",
        "churn": "3 of 9 objects failed: object 'b.csv' and 2 more: row 1,024 has no 'age'",
        "offers": "1 of 2 objects failed: object 'a.csv': row 7 has no 'plan'",
    }
    jobs = [failed(name, f"{text}. Logs: dev-{name}-00112233aabbccdd-1/*.") for name, text in reasons.items()]
    first, second = reason_lines(snapshot_of(*jobs, status="FAILED"), {})
    assert first.startswith("2 jobs (ads, churn): for example ads: DATA: 1 of 2 objects failed: object 'a.csv'")
    assert second.startswith("offers: DATA:"), "another column is another failure"


def test_other_lines_of_a_program_are_other_failures() -> None:
    failures = [Failure(f"m-{line}", f"ValueError at inference.py:{line} for row {line}") for line in (12, 12, 99)]
    assert [len(group.failures) for group in group_failures(failures)] == [2, 1]


def test_failed_jobs_can_be_shown_alone() -> None:
    snapshot = snapshot_of(failed("ads", "no rows"), succeeded_job("churn", notes=("a note",)), status="FAILED")
    lines = shown(snapshot, 120, JobChoice(failed=True))
    assert [line.split()[0] for line in lines if "1/3" in line] == ["ads"]
    assert "ads: DATA: no rows" in lines
    assert not any("a note" in line for line in lines)
    assert "2 of 2 jobs ended, 1 failed, 1,000 rows, 10 of them in quarantine" in lines, "totals are of all jobs"
    json = snapshot_json(snapshot, {}, JobChoice(failed=True))
    assert ([job["job_id"] for job in json["jobs"]], json["totals"]["jobs"]) == (["ads"], 2)
    assert "No failed jobs." in shown(snapshot_of(succeeded_job()), 120, JobChoice(failed=True))


def test_facts_say_when_an_execution_ran_and_where_its_predictions_are() -> None:
    snapshot = snapshot_of(
        running_job("ads", output_layout="joined"), succeeded_job("churn"), committed={"ads": 1}, status="RUNNING"
    )
    assert fact_lines(snapshot) == [
        "Started 2026-03-01 11:59:30 UTC, running for 1 min 0 s, expected end 2026-03-01 12:00:45 UTC (an estimate)",
        "Dataset: customers (4 objects, 3.9 KiB)",
        f"Predictions: {', '.join(predictions_uris(snapshot))}",
        "Committed: 5 of 8 objects, counted per job",
    ]
    assert predictions_uris(snapshot) == [
        f"s3://some-results/{area}/dataset=customers/execution_id=nightly-1/" for area in ("joined", "predictions")
    ]
    stopped = snapshot_of(failed("ads", STOPPED, commits=3), status="ABORTED", cause="Operator.Stop\nenough")
    assert fact_lines(stopped)[:2] == [
        "Started 2026-03-01 11:59:30 UTC, ended 2026-03-01 12:00:30 UTC, took 1 min 0 s",
        r"Stopped by hand: Operator.Stop\nenough",
    ]
    assert "Committed: 3 of 4 objects" in fact_lines(stopped), "objects are shown also after a failure"


def test_an_end_is_expected_only_when_something_was_committed() -> None:
    assert expected_end(snapshot_of(any_job())) is None
    assert expected_end(snapshot_of(running_job(), committed={"churn": 0})) is None
    assert expected_end(snapshot_of(succeeded_job(), status="SUCCEEDED")) is None
    # A quarter took the 25 seconds since the first attempt.
    assert expected_end(snapshot_of(running_job(), committed={"churn": 1})) == NOW + timedelta(seconds=75)
    # Of two committed objects, one was kept: the second took 25 seconds, and two are left.
    kept = running_job(commits_kept=1)
    assert expected_end(snapshot_of(kept, committed={"churn": 2})) == NOW + timedelta(seconds=50)


def test_training_executions_have_no_predictions() -> None:
    snapshot = snapshot_of(running_job(kind=ExecutionKind.TRAINING))
    assert predictions_uris(snapshot) == []
    assert not any(line.startswith("Committed") for line in fact_lines(snapshot))
    assert predictions_uris(replace(snapshot, record=None)) == []


@pytest.mark.parametrize("width", [40, 80, 400])
def test_status_fits_narrow_terminals_and_pipes(width: int) -> None:
    snapshot = snapshot_of(failed("ads\x1b]0;x\x07", "no\nrows"), status="FAILED")
    text = "\n".join(shown(snapshot, width))
    assert "\x1b" not in text
    assert r"no\nrows" in text
    assert "FAILED" in text


@pytest.mark.parametrize("width", range(37, 90, 7))
def test_a_wrapped_line_never_cuts_a_command(width: int) -> None:
    lines = wrapped("Register a corrected version, then resume it: `fleetscore resume nightly-1`.", "", width)
    assert any("`fleetscore resume nightly-1`" in line for line in lines)
    assert all(len(line) <= width for line in lines)


def test_long_reasons_fit_a_terminal_and_are_whole_elsewhere() -> None:
    reason = "the model's file cannot be read because " + "of this and that " * 60 + "in the end"
    snapshot = snapshot_of(failed("churn", reason), status="FAILED")
    lines = [line for line in execution_view(snapshot, {}, width=60) if isinstance(line, str)]
    assert all(len(line) <= 60 for line in lines if "s3://" not in line)
    start = next(number for number, line in enumerate(lines) if line.startswith("churn: "))
    assert lines[start + 1].startswith("  ")
    assert lines[start + 3].endswith(" …")
    assert not lines[start + 4].startswith("  ")
    assert any(reason in line for line in execution_view(snapshot, {}) if isinstance(line, str))
