"""The plan of a resumed execution chooses what the old one has planned, and says what it keeps."""

from collections.abc import Callable
from typing import Any

import pytest

from contract import codec
from contract.job.scoring_spec import JobSource, JobSpec
from contract.status import ExecutionKind
from contract.workflow.request_check import CheckInput, RequestCheck, ResumeCounts
from lambdas.check_request.handler import handler as check_handler
from tests.unit.lambdas.builders import (
    Context,
    Stage,
    plan_event,
    summary_event,
)

Step = Callable[[dict[str, Any]], dict[str, Any]]


def stop(summarize: Step, execution_id: str = "e-1") -> None:
    """Close an execution's records as an event about its end does."""
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}, execution_id))


@pytest.fixture
def stopped(opened: Stage, summarize: Step) -> Stage:
    """Return a stage whose execution e-1 was stopped after it had committed one of two objects."""
    opened.commit(objects=1)
    stop(summarize)
    return opened


def check(request: Any) -> RequestCheck:
    event = codec.to_json(CheckInput(ExecutionKind.SCORING, request))
    return codec.from_json(RequestCheck, check_handler(event, Context()))  # type: ignore[arg-type]


def spec_of(stage: Stage, job_id: str = "delays-ua", execution_id: str = "e-2") -> JobSpec:
    return stage.spec(execution_id, job_id)


def keys(stage: Stage, execution_id: str = "e-2", job_id: str = "delays-ua") -> list[str]:
    return [item.key for item in stage.objects(execution_id, job_id)]


def test_a_stopped_execution_is_continued_with_its_commits(stopped: Stage, plan: Step) -> None:
    plan(plan_event({"resume": "e-1"}, "e-2"))
    spec = spec_of(stopped)
    assert spec.sources == (JobSource("e-1", "delays-ua"),)
    assert keys(stopped) == ["a.parquet", "b.parquet"]
    record = stopped.execution("e-2")
    assert (record.resumes, record.status) == ("e-1", "RUNNING")
    assert record.notes == ("keeps 1 of 2 commits of e-1, scores 0 again, and 1 are missing",)
    assert check({"resume": "e-1"}).resume == ResumeCounts(expected=2, kept=1, again=0, missing=1)
