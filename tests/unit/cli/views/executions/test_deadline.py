"""An execution's deadline, as `status` and `watch` show it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from cli.stage.executions.execution_snapshot import Snapshot, WorkflowState
from cli.views.diagnosis.facts import fact_lines
from cli.views.executions.deadline import deadline_json, deadline_line
from cli.views.executions.execution_figures import expected_end
from cli.views.executions.progress import state_line
from contract.deadlines.lateness import Lateness
from contract.status import ExecutionStatus
from contract.workflow.messages import ExecutionPlan
from tests.unit.cli.builders import NOW, any_execution, running_job

PLAN = ExecutionPlan("nightly-1", "results", "jobs.json", 1, 1, 0.0)


def snapshot_of(minutes: float | None, *, ended: bool = False, estimated: float = 600.0, **record: Any) -> Snapshot:
    """Return an execution whose only job is to take ten minutes, with its deadline in so many minutes."""
    deadline = "" if minutes is None else (NOW + timedelta(minutes=minutes)).isoformat()
    status = ExecutionStatus.SUCCEEDED if ended else ExecutionStatus.RUNNING
    execution = replace(any_execution(status=status), plan=PLAN, deadline_at=deadline, **record)
    workflow = WorkflowState(status.value, NOW - timedelta(hours=1), NOW if ended else None)
    job = running_job(started_at=NOW.isoformat(), estimated_seconds=estimated)
    return Snapshot("nightly-1", NOW, workflow, execution, (job,))


@pytest.mark.parametrize(
    ("minutes", "verdict"),
    [(60, "it will probably be kept"), (8, "it will probably be missed"), (4, "it will be missed")],
)
def test_time_left_and_expected_end_are_shown(minutes: float, verdict: str) -> None:
    snapshot = snapshot_of(minutes)
    line = deadline_line(snapshot)
    assert line.startswith(f"Deadline {NOW + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S} UTC, ")
    assert " left, expected end " in line
    assert line.endswith(f": {verdict}")
    assert line in fact_lines(snapshot)
    assert state_line(snapshot).endswith(f". {line}")


def test_the_predicted_end_is_also_json() -> None:
    shown = deadline_json(snapshot_of(8))
    assert shown is not None
    assert shown["lateness"] == "LIKELY"
    assert shown["seconds_left"] == 480
    expected = datetime.fromisoformat(shown["expected_end"])
    assert datetime.fromisoformat(shown["earliest_end"]) < expected < datetime.fromisoformat(shown["latest_end"])
    assert expected == expected_end(snapshot_of(8))


def test_what_the_record_says_is_shown_when_nothing_tells_the_end() -> None:
    assert deadline_line(snapshot_of(8, estimated=0.0)).endswith(", 8 min 0 s left")
    warned = snapshot_of(8, estimated=0.0, lateness=Lateness.LIKELY)
    assert deadline_line(warned).endswith(", 8 min 0 s left: it will probably be missed")
    assert deadline_line(snapshot_of(-8, estimated=0.0)).endswith(", 8 min 0 s ago: it is missed")


def test_an_execution_that_has_ended_has_kept_or_missed_it() -> None:
    assert deadline_line(snapshot_of(8, ended=True)).endswith(" UTC: kept, 8 min 0 s before it")
    assert deadline_line(snapshot_of(-8, ended=True)).endswith(" UTC: missed by 8 min 0 s")


def test_without_a_deadline_nothing_is_shown() -> None:
    assert (deadline_line(snapshot_of(None)), deadline_json(snapshot_of(None))) == ("", None)
