"""A job that is split into parts is planned, retried and verified per part, and reported as one job."""

from collections.abc import Callable
from typing import Any

import pytest

from contract import codec, layout
from contract.catalog.models import Compute
from contract.job.parts import JobPart, Sharding
from contract.status import ExecutionStatus, FailureKind, JobStatus
from contract.workflow.summary import ExecutionSummary
from tests.unit.lambdas.builders import Stage, failure_event, plan_event, pointer_event, summary_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
SIZES = {"a": 900, "b": 10, "c": 10, "d": 300, "e": 10, "f": 300}
PARTS = (1, 2, 3)
IDS = [f"delays-ua.part-{number}-of-3" for number in PARTS]


@pytest.fixture
def split(stage: Stage, plan: Step) -> Stage:
    stage.register(compute=Compute(instance_count=3))
    for key, size in SIZES.items():
        stage.upload(keys=[f"{key}.parquet"], size=size)
    assert plan(plan_event({"max_concurrency": 1})) | {"jobs_bucket": ""} == {
        "schema_version": 2,
        "execution_id": "e-1",
        "jobs_bucket": "",
        "jobs_key": "executions/e-1/jobs.json",
        "job_count": 1,
        # Three instances, as for the whole job.
        "max_concurrency": 3,
        "tolerated_failure_percentage": 100.0,
        "tolerated_failed_objects_percentage": 100.0,
        "tolerated_quarantined_rows_percentage": 100.0,
        "object_count": 6,
    }
    return stage


def summary_of(stage: Stage) -> ExecutionSummary:
    return codec.from_json(ExecutionSummary, stage.read_json(layout.summary_key("e-1")))


def keys_of(stage: Stage, number: int) -> tuple[str, ...]:
    return tuple(item.key.removesuffix(".parquet") for item in stage.objects(job_id=IDS[number - 1]))


def test_each_part_has_its_own_objects_manifest_and_prefixes(split: Stage, record: Step) -> None:
    pointers = split.read_json("executions/e-1/jobs.json")
    assert [pointer["job_id"] for pointer in pointers] == IDS
    found = {number: keys_of(split, number) for number in PARTS}
    assert sorted(key for keys in found.values() for key in keys) == sorted(SIZES)
    assert found[1] == ("a",)
    attempts = [record(pointer) for pointer in pointers]
    for number, attempt in enumerate(attempts, 1):
        folder = f"s3://results-test/executions/e-1/snapshots/flights/part-{number}-of-3"
        assert attempt["snapshot_uri"] == split.spec(job_id=IDS[number - 1]).snapshot.uri == f"{folder}/objects.jsonl"
        assert attempt["data_manifest_uri"] == f"{folder}/objects.manifest"
        assert attempt["cluster"]["InstanceCount"] == 1
        manifest = split.read_json(attempt["data_manifest_uri"].removeprefix("s3://results-test/"))
        assert manifest == [
            {"prefix": "s3://datasets-test/"},
            *(f"flights/{key}.parquet" for key in found[number]),
        ]
    uris = {attempt[f"{name}_uri"] for attempt in attempts for name in ("predictions", "quarantine", "ledger")}
    assert len(uris) == 9
    # The whole snapshot has no reader.
    assert layout.snapshot_key("e-1", "flights") not in split.result_keys()


def test_the_choice_is_in_the_records_with_its_numbers(split: Stage) -> None:
    for number, job_id in enumerate(IDS, 1):
        job = split.job(job_id)
        assert job.sharding == Sharding(parts=3, largest_shard_bytes=1_200, mean_shard_bytes=510)
        assert (job.part, job.compute.instance_count) == (JobPart("delays-ua", number, 3), 1)


def test_a_split_job_is_reported_as_one_job(split: Stage, record: Step, verify: Step, summarize: Step) -> None:
    for job_id in IDS:
        record(pointer_event(job_id))
        split.commit(job_id=job_id)
        verify(pointer_event(job_id))
    outcome = summarize(summary_event({"execution_id": "e-1"}))
    assert outcome["status"] == ExecutionStatus.SUCCEEDED
    execution, summary = split.execution(), summary_of(split)
    assert (execution.jobs_succeeded, execution.jobs_failed) == (1, 0)
    assert (summary.jobs_total, summary.jobs_succeeded, summary.rows_in) == (1, 1, 60)
    (job,) = summary.jobs
    assert (job.job_id, job.status, job.object_count, job.input_bytes) == (
        "delays-ua", JobStatus.SUCCEEDED, 6, 1_530,
    )  # fmt: skip
    assert (job.rows_in, job.rows_scored, job.rows_quarantined) == (60, 57, 3)
    assert [part.part for part in job.parts] == [1, 2, 3]
    assert sum(part.rows_in for part in job.parts) == 60
    assert job.predictions_uris == tuple(
        f"s3://results-test/predictions/dataset=flights/execution_id=e-1/job_id={job_id}/model_id=delays-ua/"
        for job_id in IDS
    )
    assert len(job.quarantine_uris) == 3
    assert "split into 3 parts" in job.notes[0]


def test_a_failed_part_fails_the_job_and_is_named(
    split: Stage, record: Step, verify: Step, classify: Step, summarize: Step
) -> None:
    described = {"ProcessingJobStatus": "Failed", "ExitMessage": "MODEL: delays-ua: digest differs"}
    for job_id in IDS:
        record(pointer_event(job_id))
        if job_id == IDS[1]:
            assert classify(failure_event("States.TaskFailed", described, job_id=job_id))["try_again"] is False
        else:
            split.commit(job_id=job_id)
            verify(pointer_event(job_id))
    outcome = summarize(summary_event({"execution_id": "e-1"}))
    assert outcome["status"] == ExecutionStatus.FAILED
    assert "1 of 1 jobs failed:\n- delays-ua: part 2 of 3: MODEL: delays-ua: digest differs" in outcome["cause"]
    (job,) = summary_of(split).jobs
    assert (job.status, job.failure_kind, job.predictions_uris) == (JobStatus.FAILED, FailureKind.MODEL, ())
    statuses = [part.status for part in job.parts]
    assert statuses == [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.SUCCEEDED]


def test_another_attempt_scores_what_its_part_lacks(split: Stage, record: Step, classify: Step) -> None:
    number = next(number for number in PARTS if len(keys_of(split, number)) > 1)
    job_id = IDS[number - 1]
    record(pointer_event(job_id))
    split.commit(job_id=job_id, objects=1)
    described = {"ProcessingJobStatus": "Failed", "FailureReason": "InternalServerError: please try again"}
    assert classify(failure_event("States.TaskFailed", described, job_id=job_id))["try_again"] is True
    attempt = record(pointer_event(job_id, attempt=2))
    manifest = split.read_json(attempt["data_manifest_uri"].removeprefix("s3://results-test/"))
    assert manifest[1:] == [f"flights/{key}.parquet" for key in keys_of(split, number)[1:]]
    others = [split.job(other).attempt for other in IDS if other != job_id]
    assert others == [0, 0]


def test_another_call_of_the_plan_changes_nothing(split: Stage, plan: Step) -> None:
    before = split.result_keys()
    assert plan(plan_event({"max_concurrency": 1}))["max_concurrency"] == 3
    assert split.result_keys() == before
