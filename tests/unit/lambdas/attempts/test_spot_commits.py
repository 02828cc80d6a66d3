"""What attempts on spot capacity have committed is copied to the job's outputs when they have ended."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contract import layout, spot_layout
from contract.catalog.models import Compute
from contract.job.ledger import read_segment
from contract.job.spot_time import SpotTime
from contract.status import JobStatus
from lambdas.attempts import keep_commits as module
from lambdas.errors import KeptOutputsLeftError, OutputIncompleteError
from tests.unit.lambdas.builders import Stage, failure_event, outputs_prefix, plan_event, pointer_event, summary_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
LOST = {
    "TrainingJobStatus": "Failed",
    "FailureReason": "InternalServerError: We encountered an internal error.",
    "TrainingTimeInSeconds": 100,
    "BillableTimeInSeconds": 40,
}
ENDED = {"TrainingJobStatus": "Completed", "TrainingTimeInSeconds": 50, "BillableTimeInSeconds": 10}


@pytest.fixture
def spot(stage: Stage, plan: Step, record: Step) -> Stage:
    """Return a stage whose job of two objects has an open attempt on spot capacity."""
    stage.register(compute=Compute(spot=True, instance_count=1))
    stage.upload()
    plan(plan_event({}))
    record(pointer_event())
    return stage


def commit_on_spot(stage: Stage, attempt: int = 1, *, objects: int | None = None) -> None:
    """Write outputs and a segment as a container on spot capacity does."""
    before = set(stage.result_keys())
    stage.commit(objects=objects)
    spec, checkpoints = stage.spec(), spot_layout.spot_checkpoints_prefix("e-1", "delays-ua", attempt)
    folders = {
        outputs_prefix("predictions", spec): "predictions/",
        outputs_prefix("quarantine", spec): "quarantine/",
        layout.ledger_prefix("e-1", "delays-ua"): "ledger/",
    }
    for key in set(stage.result_keys()) - before:
        prefix, folder = next(item for item in folders.items() if key.startswith(item[0]))
        stage.s3.copy_object(
            Bucket=stage.results,
            Key=f"{checkpoints}{folder}{key.removeprefix(prefix)}",
            CopySource={"Bucket": stage.results, "Key": key},
            ChecksumAlgorithm="CRC64NVME",
        )
        stage.s3.delete_object(Bucket=stage.results, Key=key)


def outputs(stage: Stage) -> list[str]:
    return [key for key in stage.result_keys() if key.startswith(layout.OUTPUT_PREFIXES)]


def commits(stage: Stage, execution_id: str = "e-1") -> list[str]:
    prefix = layout.ledger_prefix(execution_id, "delays-ua")
    names = [key.removeprefix(prefix) for key in stage.result_keys() if key.startswith(prefix)]
    return sorted(
        commit.object
        for name in names
        for commit in read_segment(
            name, stage.s3.get_object(Bucket=stage.results, Key=prefix + name)["Body"].read()
        ).commits()
    )


def verified(**more: Any) -> dict[str, Any]:
    return {**pointer_event(), "description": ENDED, **more}


def on_write(stage: Stage, react: Callable[[], object]) -> None:
    """Call `react` before each write to S3 from now on."""
    events = stage.deployment.store._s3.meta.events
    for operation in ("PutObject", "CopyObject"):
        events.register(f"provide-client-params.s3.{operation}", lambda **_: react() and None)


def test_the_job_succeeds_with_the_same_record_as_a_processing_job(spot: Stage, verify: Step) -> None:
    commit_on_spot(spot)
    # A file that no commit names stays where it is.
    checkpoints = spot_layout.spot_checkpoints_prefix("e-1", "delays-ua", 1)
    spot.s3.put_object(
        Bucket=spot.results, Key=f"{checkpoints}predictions/model_id=delays-ua/forged.parquet", Body=b"x"
    )
    assert outputs(spot) == commits(spot) == []
    verify(verified())
    job = spot.job()
    assert (job.status, job.rows_in, job.rows_scored, job.rows_quarantined) == (JobStatus.SUCCEEDED, 20, 19, 1)
    assert (job.commits, job.spot_time) == (2, SpotTime(50, 10))
    assert commits(spot) == ["a.parquet", "b.parquet"]
    assert len(outputs(spot)) == 3


def test_a_crash_before_any_write_is_repaired_by_the_next_call(spot: Stage, verify: Step) -> None:
    """Three outputs are copied, then a segment is written: kill -9 may come before each of them."""
    commit_on_spot(spot)
    left = 0

    def crash() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise MemoryError

    on_write(spot, crash)
    for write in (1, 2, 3, 4):
        left = write
        with pytest.raises(MemoryError):
            verify(verified())
        assert (spot.job().status, commits(spot)) == (JobStatus.RUNNING, [])
    verify(verified())
    assert (spot.job().status, commits(spot)) == (JobStatus.SUCCEEDED, ["a.parquet", "b.parquet"])


def test_nothing_is_copied_twice(spot: Stage) -> None:
    commit_on_spot(spot)
    store, rules = spot.deployment.store, module.ChecksumRules("sampled", lambda: 900.0)
    module.keep_spot_commits(spot.spec(), store, rules)
    found: list[int] = []
    on_write(spot, lambda: found.append(1))
    module.keep_spot_commits(spot.spec(), store, rules)
    assert found == []


def test_a_resumed_execution_keeps_each_commit_once(
    spot: Stage, plan: Step, record: Step, verify: Step, summarize: Step
) -> None:
    """The commits are in the ledger of the job, and where its attempt had written them."""
    commit_on_spot(spot)
    verify(verified())
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}))
    plan(plan_event({"resume": "e-1"}, "e-2"))
    assert record(pointer_event(execution_id="e-2"))["nothing_left"]
    assert commits(spot, "e-2") == ["a.parquet", "b.parquet"]


def test_the_next_call_continues_when_the_time_has_ended(
    spot: Stage, verify: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_on_spot(spot)
    monkeypatch.setattr(module, "_COMMITS_AT_ONCE", 1)
    monkeypatch.setattr(module, "_SECONDS_AFTERWARDS", 10_000.0)
    for expected in (["a.parquet"], ["a.parquet", "b.parquet"]):
        with pytest.raises(KeptOutputsLeftError, match="1 commits are kept so far"):
            verify(verified())
        assert commits(spot) == expected
    verify(verified())
    assert spot.job().status is JobStatus.SUCCEEDED


def test_the_next_attempt_keeps_what_a_lost_one_has_committed(
    spot: Stage, record: Step, verify: Step, classify: Step
) -> None:
    commit_on_spot(spot, objects=1)
    assert classify(failure_event("States.TaskFailed", LOST))["try_again"] is True
    result = record(pointer_event(attempt=2))
    assert result["checkpoints_uri"].endswith("/spot/e-1/delays-ua/2/checkpoints")
    assert spot.attempt(2).object_count == 1
    commit_on_spot(spot, attempt=2)
    verify(verified(attempt=2))
    job = spot.job()
    assert (job.status, job.rows_in, job.commits, job.spot_time) == (JobStatus.SUCCEEDED, 20, 2, SpotTime(150, 50))


def test_an_output_that_is_changed_after_it_was_copied_is_replaced_by_that_of_the_next_attempt(
    spot: Stage, record: Step, verify: Step, classify: Step
) -> None:
    commit_on_spot(spot)
    module.keep_spot_commits(spot.spec(), spot.deployment.store, module.ChecksumRules("sampled", lambda: 900.0))
    spot.put_output("predictions", spot.spec(), layout.output_key("delays-ua", "b.parquet"), b"x" * 50)
    with pytest.raises(OutputIncompleteError, match="CRC64NVME"):
        verify(verified())
    classify(failure_event("OutputIncompleteError", {"errorMessage": "changed"}))
    record(pointer_event(attempt=2))
    assert spot.attempt(2).object_count == 1
    # The same output, and so the same commit.
    commit_on_spot(spot, attempt=2)
    verify(verified(attempt=2))
    assert spot.job().status is JobStatus.SUCCEEDED


def test_a_job_that_fails_for_good_has_the_outputs_that_it_committed(spot: Stage, classify: Step) -> None:
    commit_on_spot(spot, objects=1)
    failed = {**LOST, "FailureReason": "AlgorithmError: MODEL: 1 of 2 objects failed, exit code: 1"}
    assert classify(failure_event("States.TaskFailed", failed))["try_again"] is False
    job = spot.job()
    assert (job.status, job.commits, job.spot_time) == (JobStatus.FAILED, 1, SpotTime(100, 40))
    assert len(outputs(spot)) == 2
    assert "/aws/sagemaker/TrainingJobs" in job.reason


def test_an_error_while_copying_does_not_keep_a_failure_from_being_recorded(
    spot: Stage, classify: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "CopyObject")

    commit_on_spot(spot)
    monkeypatch.setattr(module, "_copy", refused)
    failed = {**LOST, "FailureReason": "AlgorithmError: MODEL: 1 of 2 objects failed, exit code: 1"}
    classify(failure_event("States.TaskFailed", failed))
    assert spot.job().status is JobStatus.FAILED


@pytest.mark.parametrize(("objects", "again"), [(1, True), (0, False)])
def test_a_commit_on_spot_is_progress(spot: Stage, classify: Step, objects: int, again: bool) -> None:
    if objects:
        commit_on_spot(spot, objects=objects)
    late = {**LOST, "TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded", "FailureReason": ""}
    assert classify(failure_event("States.TaskFailed", late))["try_again"] is again
