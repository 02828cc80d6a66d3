"""Executions that have ended leave estimates for later plans."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract.job.ledger import FormatLoads, InstanceTimes
from contract.planner.estimates import Estimates, Samples, format_class, format_key, model_key
from contract.status import ExecutionStatus, JobStatus
from contract.table import records
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


def test_instances_measure_downloads_and_the_loading_of_models(opened: Stage, verify: Step, summarize: Step) -> None:
    spec = opened.spec()
    name = format_class(spec.models[0].format, spec.models[0].artifact_bytes)
    # The container started 40 seconds after the instance.
    times = InstanceTimes("2025-12-01T01:04:00.000+00:00", (FormatLoads(name, 4, 2.0),))
    commits = [opened.write_outputs(spec, spec.models[0], item) for item in opened.objects()]
    opened.write_segment(spec, *commits, host="algo-1", times=times)
    large = replace(opened.job(), input_bytes=400 << 20)
    opened.table.put_item(Item=records.job_item(large, 2_000_000_000))
    cluster = {"InstanceType": "ml.m5.2xlarge", "InstanceCount": 1}
    verify({**pointer_event(), "description": {**DESCRIPTION, "ProcessingResources": {"ClusterConfig": cluster}}})
    summarize(summary_event({"execution_id": "e-1"}))

    samples = samples_of(opened)
    assert samples.of("load", name) == (0.5,)
    size = (400 << 20) + spec.models[0].artifact_bytes
    assert samples.of("download", "ml.m5.2xlarge") == pytest.approx((size / 40,), rel=1e-3)
    assert Estimates(samples).load_seconds(spec.models[0].format, spec.models[0].artifact_bytes).count == 1


def test_a_download_of_few_bytes_is_no_measure(opened: Stage, verify: Step, summarize: Step) -> None:
    spec = opened.spec()
    commits = [opened.write_outputs(spec, spec.models[0], item) for item in opened.objects()]
    opened.write_segment(spec, *commits, host="algo-1", times=InstanceTimes("2025-12-01T01:04:00.000+00:00"))
    cluster = {"InstanceType": "ml.m5.2xlarge", "InstanceCount": 1}
    verify({**pointer_event(), "description": {**DESCRIPTION, "ProcessingResources": {"ClusterConfig": cluster}}})
    measured = opened.job().measured
    assert measured is not None
    assert measured.download_bytes_per_second == 0.0


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


def test_a_start_up_within_one_millisecond_is_measured(opened: Stage, verify: Step, summarize: Step) -> None:
    score(opened, verify, summarize, {"CreationTime": 1_000, "ProcessingStartTime": 1_000})
    assert list(samples_of(opened).by_kind["startup"].values()) == [(0.001,)]


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
            "ml.m5.large",
            100.0 + number,
            0.0,
            (seconds, 2 * seconds),
            (FormatMeasurement("onnx/10KB", rows, 3 * seconds),),
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
