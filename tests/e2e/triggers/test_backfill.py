"""A backfill scores only missing datasets, a few executions at a time, and can be repeated."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.commands.backfill import choose_scorers
from cli.documents.dataset_template import Slot, expand
from cli.stage.backfill import Backfill, Outcome
from contract import layout
from tests.e2e.failing_models import Gate
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

DAYS = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
SLOTS = expand("visits-{date}", DAYS[0], DAYS[-1], "day", "fill")


@pytest.fixture(scope="module")
def catalog(stage: Stage) -> None:
    for index, slot in enumerate(SLOTS):
        stage.put_dataset(slot.dataset, {"a.parquet": people(10, index)})
    for model_id in ("fill-a", "fill-b"):
        stage.register(model_id, train_xgboost(1), dataset=SLOTS[0].dataset, version="1")
    uploaded = datetime.now(UTC)
    # Only an execution that begins in a later second than the upload scores the dataset.
    wait_for(lambda: datetime.now(UTC) > uploaded + timedelta(seconds=1), "the next second")


def backfill(stage: Stage, *models: str, max_running: int = 2) -> tuple[dict[str, Outcome], list[tuple[str, str]], int]:
    """Run a backfill; return outcomes by dataset, progress reports, and the concurrency."""
    reports: list[tuple[str, str]] = []
    running: set[str] = set()
    concurrency = 0

    def report(slot: Slot, execution_id: str, event: str) -> None:
        nonlocal concurrency
        reports.append((execution_id, event))
        (running.add if event in ("started", "already running") else running.discard)(execution_id)
        concurrency = max(concurrency, len(running))

    work = Backfill(stage.connection, stage.deployment, stage.executions)
    chosen = choose_scorers(stage.catalog.models(), (), list(models), None)
    found = work.run(SLOTS, chosen, named=True, max_running=max_running, report=report, seconds=0.2)
    return {slot.dataset: outcome for slot, outcome in found.items()}, reports, concurrency


def started(reports: list[tuple[str, str]]) -> list[str]:
    return [execution_id for execution_id, event in reports if event == "started"]


def test_a_backfill_scores_what_is_missing_and_nothing_twice(stage: Stage, catalog: None) -> None:
    outcomes, reports, concurrency = backfill(stage, "fill-a")
    assert set(outcomes.values()) == {Outcome.SUCCEEDED}
    assert started(reports) == ["fill-20260101", "fill-20260102", "fill-20260103"]
    assert concurrency == 2

    outcomes, reports, _ = backfill(stage, "fill-a")
    assert set(outcomes.values()) == {Outcome.SKIPPED}
    assert started(reports) == []

    # After another upload and with another model, only the new combinations are scored.
    stage.put_dataset(SLOTS[1].dataset, {"b.parquet": people(10, 9)})
    outcomes, reports, _ = backfill(stage, "fill-a", "fill-b")
    assert set(outcomes.values()) == {Outcome.SUCCEEDED}
    models = {name: request_of(stage, name)["models"] for name in started(reports)}
    assert models == {
        "fill-20260101-2": ["fill-b"],
        "fill-20260102-2": ["fill-a", "fill-b"],
        "fill-20260103-2": ["fill-b"],
    }


def request_of(stage: Stage, execution_id: str) -> dict[str, Any]:
    request: dict[str, Any] = stage.summary(execution_id).request
    return request


def test_a_failed_day_is_reported_and_retried_under_the_next_name(stage: Stage, catalog: None) -> None:
    s3, bucket = stage.client("s3"), stage.deployment.datasets_bucket
    key = layout.dataset_prefix(SLOTS[2].dataset) + "broken.parquet"
    s3.put_object(Bucket=bucket, Key=key, Body=b"no parquet")
    outcomes, reports, _ = backfill(stage, "fill-a")
    assert outcomes[SLOTS[2].dataset] is Outcome.FAILED
    assert outcomes[SLOTS[0].dataset] is Outcome.SKIPPED
    s3.delete_object(Bucket=bucket, Key=key)
    outcomes, again, _ = backfill(stage, "fill-a")
    assert set(started(reports)).isdisjoint(started(again))


def test_a_running_execution_is_followed_and_not_started_again(
    stage: Stage, catalog: None, shared_folder: Path
) -> None:
    # The model waits, so the execution runs until the backfill has found it.
    stage.register("fill-gate", Gate(shared_folder), dataset=SLOTS[0].dataset, version="1")
    work = Backfill(stage.connection, stage.deployment, stage.executions)
    slot = expand("visits-{date}", DAYS[0], DAYS[0], "day", "follow")[0]
    stage.executions.start(json.dumps({"dataset": slot.dataset, "models": ["fill-gate"]}), slot.execution_id)
    reports: list[str] = []

    def report(_slot: Slot, execution_id: str, event: str) -> None:
        reports.append(f"{execution_id} {event}")
        (shared_folder / "open").touch()

    models = choose_scorers(stage.catalog.models(), (), ["fill-gate"], None)
    found = work.run([slot], models, named=True, max_running=1, report=report, seconds=0.1)
    assert found == {slot: Outcome.SUCCEEDED}
    assert reports == [f"{slot.execution_id} already running", f"{slot.execution_id} SUCCEEDED"]
