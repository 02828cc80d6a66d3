from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract import codec, layout
from contract.job.ledger import Commit
from contract.pool.pool_records import JobKind
from contract.problems import InvalidInputError
from contract.status import AttemptStatus, JobStatus
from contract.workflow.messages import AttemptPlan
from lambdas.errors import JobClosedError, JobNotFoundError, StaleEventError
from lambdas.stage.tables.job_table import JobTable
from lambdas.stage.tables.pool_table import PoolTable
from tests.unit.lambdas.builders import (
    CORE_IMAGE,
    KEY_ARN,
    STARTED_AT,
    Stage,
    execution_arn,
    failure_event,
    outputs_prefix,
    plan_event,
    pointer_event,
    summary_event,
)

Step = Callable[[dict[str, Any]], dict[str, Any]]


def manifest(stage: Stage, attempt: int) -> list[str]:
    """Return the objects of an attempt's manifest. The plan writes that of the first attempt."""
    later = layout.data_manifest_key("e-1", "delays-ua", attempt)
    prefix, *keys = stage.read_json(later if attempt > 1 else layout.snapshot_manifest_key("e-1", "flights"))
    assert prefix == {"prefix": "s3://datasets-test/"}
    assert all(key.startswith("flights/") for key in keys)
    return [key.removeprefix("flights/") for key in keys]


def artifacts_of(stage: Stage, job_id: str = "delays-ua") -> list[str]:
    """Return the artifacts of a job's manifest."""
    prefix, *keys = stage.read_json(layout.models_manifest_key("e-1", job_id))
    assert prefix == {"prefix": "s3://models-test/"}
    return list(keys)


def first_commit(stage: Stage) -> Commit:
    spec = stage.spec()
    return stage.write_outputs(spec, spec.models[0], stage.objects()[0])


def test_a_first_attempt_scores_every_pinned_object(planned: Stage, record: Step) -> None:
    result = codec.from_json(AttemptPlan, record(pointer_event()))

    name = layout.sagemaker_job_name("test", execution_arn("e-1"), STARTED_AT, "delays-ua", 1)
    assert result == AttemptPlan(
        nothing_left=False,
        sagemaker_job_name=name,
        spec_uri="s3://results-test/executions/e-1/jobs/delays-ua/job.json",
        snapshot_uri="s3://results-test/executions/e-1/snapshots/flights/objects.jsonl",
        data_manifest_uri="s3://results-test/executions/e-1/snapshots/flights/objects.manifest",
        models_manifest_uri="s3://results-test/executions/e-1/jobs/delays-ua/models.manifest",
        predictions_uri="s3://results-test/predictions/dataset=flights/execution_id=e-1/job_id=delays-ua",
        quarantine_uri="s3://results-test/quarantine/dataset=flights/execution_id=e-1/job_id=delays-ua",
        ledger_uri="s3://results-test/executions/e-1/jobs/delays-ua/ledger",
        cluster={
            "InstanceType": "ml.m5.large",
            "InstanceCount": 2,
            "VolumeSizeInGB": 30,
            "VolumeKmsKeyId": KEY_ARN,
        },
        max_runtime_seconds=3_600,
        environment={
            "FLEETSCORE_EXECUTION_ID": "e-1",
            "FLEETSCORE_JOB_ID": "delays-ua",
            "FLEETSCORE_ATTEMPT": "1",
            "FLEETSCORE_BATCH_ROWS": "65536",
        },
        image_uri=CORE_IMAGE,
        checkpoints_uri="s3://results-test/spot/e-1/delays-ua/1/checkpoints",
        model_output_uri="s3://results-test/spot/e-1/delays-ua/1/output",
        max_wait_seconds=7_200,
        longest_seconds=3_600,
    )
    assert manifest(planned, 1) == ["a.parquet", "b.parquet"]
    job, attempt = planned.job(), planned.attempt()
    assert (job.status, job.attempt, job.sagemaker_job_name) == (JobStatus.RUNNING, 1, name)
    assert job.started_at == attempt.started_at
    assert (attempt.status, attempt.object_count) == (AttemptStatus.RUNNING, 2)
    assert artifacts_of(planned) == ["delays-ua/1/model.tar.gz"]


def test_opening_an_attempt_twice_returns_the_same_plan(opened: Stage, record: Step) -> None:
    before = opened.attempt()
    opened.commit(objects=1)
    first, second = record(pointer_event()), record(pointer_event())
    assert first == second
    assert opened.attempt() == before
    assert manifest(opened, 1) == ["a.parquet", "b.parquet"]


@pytest.mark.parametrize("sees", ["lease", "no lease", "expected pool"])
def test_two_calls_at_the_same_time_open_one_attempt_with_one_lease(
    planned: Stage, record: Step, monkeypatch: pytest.MonkeyPatch, sees: str
) -> None:
    deployment = planned.deployment
    if sees == "expected pool":
        deployment.pools._expected = JobKind.PROCESSING, "ml.m5.large"
    before = deployment.table.job_state("e-1", "delays-ua", 1, *deployment.pools.expected_keys())
    name = layout.sagemaker_job_name("test", execution_arn("e-1"), STARTED_AT, "delays-ua", 1)
    unleased = deployment.pools.lease_state(name, (JobKind.PROCESSING, "ml.m5.large"))
    first = record(pointer_event())

    monkeypatch.setattr(JobTable, "job_state", lambda *_: before)
    if sees == "no lease":
        reads, stale = PoolTable.lease_state, [unleased]
        monkeypatch.setattr(
            PoolTable,
            "lease_state",
            lambda self, *names, **options: stale.pop() if stale else reads(self, *names, **options),
        )
    assert {**record(pointer_event()), "start_wait_seconds": 0} == {**first, "start_wait_seconds": 0}
    [pool], [lease] = deployment.pools.pools(), deployment.pools.leases()
    assert (lease.sagemaker_job_name, pool.held) == (name, lease.instances)


def test_the_first_attempt_does_not_list_the_ledger(planned: Stage, record: Step) -> None:
    listed: list[str] = []
    planned.deployment.store._s3.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: listed.append(params["Prefix"])
    )
    record(pointer_event())
    assert listed == []


def test_a_retry_scores_only_uncommitted_objects(opened: Stage, record: Step, classify: Step) -> None:
    opened.commit(objects=1)
    decision = classify(failure_event("OutputIncompleteError", "b.parquet is missing"))
    assert decision["try_again"] is True

    result = record(decision)

    assert manifest(opened, 2) == ["b.parquet"]
    assert result["sagemaker_job_name"].endswith("-2")
    assert result["cluster"]["InstanceCount"] == 1
    assert (opened.job().attempt, opened.attempt(2).object_count) == (2, 1)
    assert opened.job().started_at == opened.attempt(1).started_at


def test_a_retry_has_no_objects_when_every_object_is_committed(
    opened: Stage, record: Step, classify: Step, verify: Step
) -> None:
    opened.commit()
    decision = classify(failure_event("States.Timeout"))
    result = record(decision)
    assert (result["nothing_left"], result["sagemaker_job_name"]) == (True, "")
    # The job keeps the name of the processing job that scored it.
    assert opened.job().sagemaker_job_name == opened.attempt(1).sagemaker_job_name
    assert verify(decision) == {"schema_version": 2, "job_id": "delays-ua"}
    assert opened.job().rows_in == 20


@pytest.mark.parametrize(
    "damage",
    [
        lambda stage: stage.s3.delete_object(
            Bucket="results-test",
            Key=outputs_prefix("predictions", stage.spec()) + layout.output_key("delays-ua", "a.parquet"),
        ),
        lambda stage: stage.s3.put_object(
            Bucket="results-test",
            Key=outputs_prefix("predictions", stage.spec()) + layout.output_key("delays-ua", "a.parquet"),
            Body=b"cut off",
        ),
        lambda stage: stage.replace_commit(stage.spec(), replace(first_commit(stage), etag="another")),
        lambda stage: stage.replace_commit(stage.spec(), replace(first_commit(stage), outputs=())),
    ],
    ids=["output missing", "output cut off", "other object", "no outputs"],
)
def test_objects_with_an_invalid_commit_are_scored_again(
    opened: Stage, record: Step, classify: Step, damage: Callable[[Stage], None]
) -> None:
    opened.commit()
    damage(opened)
    record(classify(failure_event("OutputIncompleteError", "said so")))
    assert manifest(opened, 2) == ["a.parquet"]


def test_an_object_is_scored_again_unless_all_models_committed_it(
    stage: Stage, plan: Step, record: Step, classify: Step
) -> None:
    stage.register("a")
    stage.register("b")
    stage.upload()
    plan(plan_event({"models_per_job": 2}))
    job_id = "a.and-1-more"
    record(pointer_event(job_id))
    assert artifacts_of(stage, job_id) == ["a/1/model.tar.gz", "b/1/model.tar.gz"]
    spec, objects = stage.spec(job_id=job_id), stage.objects(job_id=job_id)
    stage.commit_one(spec, spec.models[0], objects[0])
    stage.commit_one(spec, spec.models[0], objects[1])
    stage.commit_one(spec, spec.models[1], objects[1])
    record(classify(failure_event("OutputIncompleteError", "said so", job_id=job_id)))
    assert stage.read_json(layout.data_manifest_key("e-1", job_id, 2))[1:] == ["flights/a.parquet"]


def test_a_finished_job_is_not_reopened(opened: Stage, record: Step, verify: Step) -> None:
    opened.commit()
    verify(pointer_event())
    with pytest.raises(JobClosedError, match="SUCCEEDED"):
        record(pointer_event(attempt=2))
    assert opened.job().status is JobStatus.SUCCEEDED


def test_a_closed_attempt_gets_no_processing_job(opened: Stage, record: Step, summarize: Step) -> None:
    """For example, a redrive of a stopped execution starts its child with the same attempt."""
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}))
    with pytest.raises(JobClosedError, match="FAILED"):
        record(pointer_event())


def test_a_failed_attempt_is_not_restarted(opened: Stage, record: Step, classify: Step) -> None:
    assert classify(failure_event("OutputIncompleteError", "b.parquet is missing"))["try_again"] is True
    with pytest.raises(StaleEventError, match="WAITING in attempt 1"):
        record(pointer_event())


def test_no_attempt_is_opened_while_another_one_runs(opened: Stage, record: Step) -> None:
    with pytest.raises(StaleEventError, match="RUNNING in attempt 1"):
        record(pointer_event(attempt=2))


def test_an_unknown_job_is_refused_by_name(stage: Stage, record: Step) -> None:
    with pytest.raises(JobNotFoundError, match="'nobody'"):
        record(pointer_event("nobody"))


def test_a_message_of_another_release_is_refused(planned: Stage, record: Step) -> None:
    with pytest.raises(InvalidInputError, match="schema_version: got 3"):
        record({**pointer_event(), "schema_version": 3})


def test_volumes_of_types_with_local_storage_have_no_key(stage: Stage, plan: Step, record: Step) -> None:
    """SageMaker refuses a key for them."""
    stage.register()
    stage.upload()
    plan(plan_event({"instance_type": "ml.g5.xlarge"}))
    cluster = record(pointer_event())["cluster"]
    assert cluster["InstanceType"] == "ml.g5.xlarge"
    assert "VolumeKmsKeyId" not in cluster
