"""Rounds of a backfill: what it starts after each look, and when it gives up."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from cli.documents.dataset_template import Slot
from cli.failures import CommandError
from cli.stage.executions import backfill
from cli.stage.executions.backfill import MAX_ROUNDS, Backfill, Outcome, SlotResult
from contract.workflow.request_check import RequestCheck, ScoredBefore

SLOT = Slot("days", "fill-1")


def seen(**scored: int) -> RequestCheck:
    """Return a look at two objects, of which each model has scored some."""
    return RequestCheck(scored_before=tuple(ScoredBefore(name, "1", False, "days", 2, n) for name, n in scored.items()))


class Stage:
    """A stage with one dataset whose looks and executions a test decides about."""

    def __init__(self) -> None:
        self.looks: list[RequestCheck] = []
        self.covering_: list[Mapping[str, frozenset[ScoredBefore]]] = []
        self.statuses: dict[str, str] = {}
        self.taken: set[str] = set()
        self.requests: dict[str, dict[str, Any]] = {}

    def check(self, *_: Any) -> RequestCheck:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def covering(self, *_: Any) -> Mapping[str, frozenset[ScoredBefore]]:
        return self.covering_.pop(0) if self.covering_ else {}

    def workflow_status(self, name: str) -> str | None:
        return self.statuses.get(name, "SUCCEEDED") if name in self.requests or name in self.statuses else None

    def has_record(self, name: str) -> bool:
        return name in self.taken

    def start(self, request: str, name: str) -> str:
        if name in self.requests:
            raise CommandError("taken")
        self.requests[name] = json.loads(request)
        return name

    def snapshot(self, name: str, **_: Any) -> Any:
        return type("Snapshot", (), {"status": self.workflow_status(name)})


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    found = Stage()
    for name in ("Executions", "RunningWork", "RequestChecks"):
        monkeypatch.setattr(backfill, name, lambda *_: found)
    return found


def run(stage: Stage, **options: Any) -> SlotResult:
    deployment: Any = type("Deployment", (), {"stage": "dev"})
    (result,) = Backfill(None, deployment, **options).run([SLOT], max_running=1, report=lambda *_: None, seconds=0)  # type: ignore[arg-type]
    return result


def test_only_models_with_missing_objects_are_requested(stage: Stage) -> None:
    stage.looks = [seen(a=2, b=1), seen(a=2, b=1), seen(a=2, b=2)]
    assert run(stage) == SlotResult("days", Outcome.SUCCEEDED, 3, 1, 0, ("fill-1",))
    request = {"dataset": "days", "execution_label": "backfill", "keep_scored": True, "models": ["b"]}
    assert stage.requests == {"fill-1": request}


def test_models_that_share_an_output_are_requested_together(stage: Stage) -> None:
    stage.looks = [seen(a=2, b=1), seen(a=2, b=1), seen(a=2, b=2)]
    run(stage, models=["a", "b"], options={"output_layout": "joined"})
    assert stage.requests["fill-1"]["models"] == ["a", "b"]


def test_everything_is_requested_without_names_if_none_were_given(stage: Stage) -> None:
    stage.looks = [seen(a=0, b=0), seen(a=0, b=0), seen(a=2, b=2)]
    run(stage)
    assert "models" not in stage.requests["fill-1"]


def test_names_that_records_know_are_not_used_again(stage: Stage) -> None:
    stage.looks = [seen(a=0), seen(a=0), seen(a=2)]
    stage.statuses, stage.taken = {"fill-1": "FAILED"}, {"fill-1-2"}
    assert run(stage).executions == ("fill-1-3",)


def test_a_dataset_that_keeps_changing_ends_unscored(stage: Stage) -> None:
    stage.looks = [seen(a=1)]
    found = run(stage)
    assert (found.outcome, found.unscored, len(found.executions)) == (Outcome.FAILED, 1, MAX_ROUNDS)
    assert "keep changing" in found.reason


def test_after_a_failure_no_other_execution_starts(stage: Stage) -> None:
    stage.looks = [seen(a=0), seen(a=0), seen(a=1)]
    stage.start = lambda request, name: (stage.statuses.update({name: "FAILED"}), name)[1]  # type: ignore[method-assign]
    found = run(stage)
    assert found == SlotResult("days", Outcome.FAILED, 0, 1, 1, ("fill-1",), "see `fleetscore status fill-1`")


def test_a_failed_execution_of_somebody_else_is_followed_by_an_own_one(stage: Stage) -> None:
    look = seen(a=0)
    stage.looks, stage.statuses = [look, look, look, seen(a=2)], {"nightly": "FAILED"}
    stage.covering_ = [{"nightly": frozenset(look.scored_before)}]
    found = run(stage)
    assert (found.outcome, found.executions) == (Outcome.SUCCEEDED, ("nightly", "fill-1"))


def test_a_dataset_that_the_plan_refuses_is_reported_with_the_reason(stage: Stage) -> None:
    stage.looks = [RequestCheck(problems=("no objects",), problem_count=1)]
    assert run(stage) == SlotResult("days", Outcome.FAILED, 0, 0, 0, (), "no objects")
    assert stage.requests == {}
