"""The planner packs a fleet of small models, and its record says what was expected and what was used."""

import json
from typing import Any

import pytest

from cli.main import main
from contract.planner.prices import bundled_prices
from contract.status import ExecutionStatus
from tests.e2e.stage import Stage, people, train_xgboost

ROWS = 60
MODELS = [f"packed-{number}" for number in range(8)]
REQUEST = {"models": MODELS, "models_per_job": "auto", "deadline": "PT6H", "strict_deadline": True}


def read(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_packed_fleet_scores_everything_as_planned(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.put_dataset("packed", {"a.parquet": people(ROWS, 1), "b.parquet": people(ROWS, 2, first_row=ROWS)})
    model = train_xgboost(1)
    for model_id in MODELS:
        stage.register(model_id, model, dataset="packed")
    try:
        prices = read(capsys, "prices", "refresh")
        assert prices["source"] == "AWS Price List API, published 2000-01-01"
        assert prices["processing"]["ml.m5.xlarge"] == prices["training"]["ml.m5.xlarge"] == 0.2

        planned = read(capsys, "plan", "--input", json.dumps(REQUEST))
        assert read(capsys, "run", "--plan", "--input", json.dumps(REQUEST))["jobs"] == planned["jobs"]
        assert main(["plan", "--input", json.dumps(REQUEST)]) == 0
        shown = capsys.readouterr().out
        assert "Deadline: " in shown
        assert "met with" in shown
        assert "Price List API" in shown

        snapshot = stage.run(REQUEST, "packed")
        record = snapshot.record
        assert record is not None
        assert record.status is ExecutionStatus.SUCCEEDED, record.reason
        assert {job.job_id: len(job.model_ids) for job in snapshot.jobs} == {
            job["job_id"]: job["models"] for job in planned["jobs"]
        }
        assert len(snapshot.jobs) < len(MODELS)
        assert sorted(model_id for job in snapshot.jobs for model_id in job.model_ids) == MODELS
        assert sum(job.rows_scored for job in snapshot.jobs) == 2 * ROWS * len(MODELS)
        assert all(job.estimated_seconds > 0 for job in snapshot.jobs)

        estimate, actual = record.estimate, record.actual
        assert estimate is not None
        assert actual is not None
        figures = planned["expected"]["figures"]
        assert (estimate.jobs, estimate.cost) == (figures["jobs"], pytest.approx(figures["cost"]))
        assert record.deadline_at > record.ended_at
        assert actual.jobs == len(snapshot.jobs)
        assert actual.cost == pytest.approx(actual.instance_hours * 0.2, rel=1e-2)
        assert actual.seconds > 0
        summary = stage.summary("packed")
        assert (summary.estimate, summary.actual) == (estimate, actual)
        assert main(["status", "packed"]) == 0
        assert "Estimate: " in (shown := capsys.readouterr().out)
        assert "Used: " in shown
    finally:
        # `{}` in other tests scores every enabled model.
        for model_id in MODELS:
            stage.catalog.set_enabled(model_id, False)
        read(capsys, "prices", "reset")
    assert read(capsys, "prices", "show")["source"] == bundled_prices().origin(stage.aws.endpoint.region)[1]


def test_strict_deadline_is_refused_by_plan_and_execution(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.put_dataset("hurried", {"a.parquet": people(ROWS, 1)})
    stage.register("hurried", train_xgboost(1), dataset="hurried")
    request = {"models": ["hurried"], "deadline": "2026-01-01T06:00:00Z", "strict_deadline": True}
    try:
        assert main(["plan", "--input", json.dumps(request)]) == 2
        assert "deadline: got '2026-01-01T06:00:00Z', expected a later time" in capsys.readouterr().err
        refused = stage.run(request, "hurried")
        assert refused.record is not None
        assert refused.record.status is ExecutionStatus.FAILED
        assert "expected a later time" in refused.record.reason
    finally:
        stage.catalog.set_enabled("hurried", False)
