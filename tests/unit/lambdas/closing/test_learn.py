"""Executions that have ended leave estimates for later plans."""

from collections.abc import Callable
from typing import Any

import pytest

from contract.planner.estimates import Estimates, Samples, format_key, model_key
from contract.status import ExecutionStatus, JobStatus
from contract.table.measurements import FormatMeasurement, JobMeasurements
from lambdas.closing.learn import measured_by
from tests.unit.lambdas.builders import Stage, any_execution, any_job, pointer_event, summary_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
DESCRIPTION = {
    "CreationTime": 1_764_550_800_000,
    "ProcessingStartTime": "2025-12-01T01:03:20+00:00",
    "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.2xlarge"}},
}


def samples_of(stage: Stage) -> Samples:
    return stage.deployment.estimates.read(["delays-ua", "unknown"], ["flights"])


def score(stage: Stage, verify: Step, summarize: Step, description: Any = None) -> None:
    stage.commit()
    verify({**pointer_event(), "description": DESCRIPTION if description is None else description})
    summarize(summary_event({"execution_id": "e-1"}))


def test_an_execution_measures_models_formats_datasets_and_start_ups(
    opened: Stage, verify: Step, summarize: Step
) -> None:
    assert samples_of(opened) == Samples({})
    score(opened, verify, summarize)
    samples, spec = samples_of(opened), opened.spec().models[0]

    # 20 rows in two commits of half a second each.
    assert samples.of("rows", model_key("delays-ua", "ml.m5.2xlarge")) == (20.0,)
    assert samples.of("rows", format_key(spec.format, spec.artifact_bytes, "ml.m5.2xlarge")) == (20.0,)
    assert samples.of("startup", "ml.m5.2xlarge") == (200.0,)
    assert samples.of("bytes-per-row", "flights") == (opened.job().input_bytes / 20,)
    estimates = Estimates(samples)
    assert estimates.rows_per_second("delays-ua", "any", 1, "ml.m5.2xlarge").count == 1
    assert estimates.startup_seconds("ml.m5.2xlarge").value == 200.0


def test_a_doubled_closing_adds_nothing(opened: Stage, verify: Step, summarize: Step) -> None:
    score(opened, verify, summarize)
    once = samples_of(opened)
    summarize(summary_event({"execution_id": "e-1"}))
    assert samples_of(opened) == once


@pytest.mark.parametrize(
    "description",
    [
        {},
        "what nobody expects",
        {"CreationTime": "no time", "ProcessingStartTime": 1, "ProcessingResources": []},
        {"CreationTime": 2_000, "ProcessingStartTime": 1_000},
        {"CreationTime": 1_000},
    ],
)
def test_a_description_without_times_measures_no_start_up(
    opened: Stage, verify: Step, summarize: Step, description: Any
) -> None:
    score(opened, verify, summarize, description)
    samples = samples_of(opened)
    assert not samples.by_kind.get("startup")
    # The instance type is then the planned one.
    assert samples.of("rows", model_key("delays-ua", opened.job().compute.instance_type or "")) == (20.0,)


def test_a_closing_succeeds_although_the_estimates_cannot_be_written(
    opened: Stage, verify: Step, summarize: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> int:
        raise RuntimeError("items kept changing")

    monkeypatch.setattr(opened.deployment.estimates, "add", refuse)
    score(opened, verify, summarize)
    assert opened.execution().status is ExecutionStatus.SUCCEEDED
    assert not opened.execution().closing_pending


def test_the_models_of_many_jobs_are_measured_by_rows_and_seconds_of_all() -> None:
    def job(number: int, rows: int, seconds: float, **changes: Any) -> Any:
        measured = JobMeasurements(
            "ml.m5.large", 100.0 + number, (seconds, 2 * seconds), (FormatMeasurement("onnx/10KB", rows, 3 * seconds),)
        )
        return any_job(
            job_id=f"job-{number}",
            model_ids=("one", "two"),
            model_versions=("1", "1"),
            **{"status": JobStatus.SUCCEEDED, "rows_in": rows, "input_bytes": rows, "measured": measured, **changes},
        )

    jobs = [job(0, 200, 1.0), job(1, 600, 1.0), *[job(number, 0, 0.0) for number in range(2, 20)]]
    jobs += [job(99, 1_000_000, 1.0, status=JobStatus.FAILED)]
    found = {(each.subject, each.name, each.source): each.value for each in measured_by(any_execution(), jobs)}

    assert found["MODEL", "one", "e-1"] == 400 / 2
    assert found["MODEL", "two", "e-1"] == 400 / 4
    assert found["FORMAT", "onnx/10KB", "e-1"] == 800 / 6
    assert found["DATASET", "flights", "e-1"] == 2.0
    startups = [found["INSTANCE", "ml.m5.large", f"e-1/{number}"] for number in range(5)]
    assert (startups[0], startups[-1]) == (100.0, 119.0)
    assert startups == sorted(startups)
    assert ("INSTANCE", "ml.m5.large", "e-1/5") not in found
