"""The first attempt of a resumed job keeps what earlier executions have scored."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from contract import layout
from contract.job.ledger import read_segment
from contract.status import JobStatus
from lambdas.attempts import keep_commits as module
from lambdas.attempts.checksums import ChecksumRules
from lambdas.errors import KeptOutputsLeftError, ObjectReplacedError
from lambdas.stage.buckets import object_store
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.tables.job_table import JobTable
from tests.unit.lambdas.builders import (
    Stage,
    any_model_spec,
    failure_event,
    outputs_prefix,
    plan_event,
    pointer_event,
    summary_event,
)

Step = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def resumed(opened: Stage, summarize: Step, plan: Step) -> Stage:
    """Return a stage whose execution e-1 has committed one of two objects, and is resumed by e-2."""
    opened.commit(objects=1)
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}))
    plan(plan_event({"resume": "e-1"}, "e-2"))
    return opened


def body(stage: Stage, key: str) -> bytes:
    content: bytes = stage.s3.get_object(Bucket=stage.results, Key=key)["Body"].read()
    return content


def committed(stage: Stage, execution_id: str = "e-2", job_id: str = "delays-ua") -> list[str]:
    """Return the objects in a job's ledger."""
    prefix = layout.ledger_prefix(execution_id, job_id)
    names = [key.removeprefix(prefix) for key in stage.result_keys() if key.startswith(prefix)]
    return sorted(
        commit.object for name in names for commit in read_segment(name, body(stage, prefix + name)).commits()
    )


def left(stage: Stage, result: dict[str, Any]) -> list[str]:
    """Return the objects of the attempt's manifest."""
    key = result["data_manifest_uri"].removeprefix("s3://results-test/")
    return [name.removeprefix("flights/") for name in stage.read_json(key)[1:]]


def test_an_object_with_several_commits_is_kept_once(opened: Stage, summarize: Step, plan: Step, record: Step) -> None:
    """Its outputs were lost after the first attempt had committed it, so another one has scored it again."""
    opened.commit(objects=1)
    opened.commit()
    assert committed(opened, "e-1") == ["a.parquet", "a.parquet", "b.parquet"]
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}))
    plan(plan_event({"resume": "e-1"}, "e-2"))
    assert record(pointer_event(execution_id="e-2"))["nothing_left"]
    assert committed(opened) == ["a.parquet", "b.parquet"]


def test_kept_objects_are_copied_and_committed_and_the_rest_is_scored(resumed: Stage, record: Step) -> None:
    result = record(pointer_event(execution_id="e-2"))
    assert result["nothing_left"] is False
    assert left(resumed, result) == ["b.parquet"]
    assert committed(resumed) == ["a.parquet"]
    spec = resumed.spec("e-2")
    name = layout.output_key("delays-ua", "a.parquet")
    for kind in ("predictions", "quarantine"):
        assert body(resumed, outputs_prefix(kind, spec) + name) == body(
            resumed, outputs_prefix(kind, resumed.spec()) + name
        )
    job = resumed.job(execution_id="e-2")
    assert (job.commits, job.commits_kept, job.status) == (1, 1, JobStatus.RUNNING)
    assert resumed.attempt(execution_id="e-2").object_count == 1


def test_a_job_of_which_everything_is_kept_starts_no_sagemaker_job(
    opened: Stage, summarize: Step, plan: Step, record: Step, verify: Step
) -> None:
    opened.commit()
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}))
    plan(plan_event({"resume": "e-1"}, "e-2"))
    result = record(pointer_event(execution_id="e-2"))
    assert (result["nothing_left"], result["sagemaker_job_name"]) == (True, "")
    verify(pointer_event(execution_id="e-2"))
    job = opened.job(execution_id="e-2")
    assert (job.status, job.rows_in, job.rows_quarantined, job.commits_kept) == (JobStatus.SUCCEEDED, 20, 1, 2)
    # The old execution keeps what it has.
    assert committed(opened, "e-1") == committed(opened) == ["a.parquet", "b.parquet"]


def stopped_and_resumed(stage: Stage, plan: Step, summarize: Step, request: dict[str, Any] | None = None) -> None:
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}))
    plan(plan_event({"resume": "e-1", **(request or {})}, "e-2"))


def segments(stage: Stage, execution_id: str = "e-2", job_id: str = "delays-ua") -> list[str]:
    prefix = layout.ledger_prefix(execution_id, job_id)
    return [key for key in stage.result_keys() if key.startswith(prefix)]


def copies(stage: Stage) -> list[str]:
    """Return a list that gets the key of every object that is copied from now on."""
    found: list[str] = []
    events = stage.deployment.store._s3.meta.events
    events.register("provide-client-params.s3.CopyObject", lambda params, **_: found.append(params["Key"]))
    return found


def test_a_crash_between_outputs_and_segment_is_repaired_by_the_next_call(
    resumed: Stage, record: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "add_segment", crash)
        with pytest.raises(MemoryError):
            record(pointer_event(execution_id="e-2"))
    assert segments(resumed) == []
    result = record(pointer_event(execution_id="e-2"))
    assert (left(resumed, result), committed(resumed)) == (["b.parquet"], ["a.parquet"])


def test_a_crash_after_the_segment_copies_nothing_again(
    resumed: Stage, record: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(JobTable, "opening", crash)
        with pytest.raises(MemoryError):
            record(pointer_event(execution_id="e-2"))
    before, copied = segments(resumed), copies(resumed)
    record(pointer_event(execution_id="e-2"))
    assert (segments(resumed), copied) == (before, [])
    assert resumed.job(execution_id="e-2").commits_kept == 1


def test_opening_the_attempt_again_returns_the_same_plan(resumed: Stage, record: Step) -> None:
    first = record(pointer_event(execution_id="e-2"))
    copied = copies(resumed)
    assert record(pointer_event(execution_id="e-2")) == first
    assert copied == []


def test_the_next_call_continues_when_the_time_has_ended(
    opened: Stage, summarize: Step, plan: Step, record: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.commit()
    stopped_and_resumed(opened, plan, summarize)
    monkeypatch.setattr(module, "_COMMITS_AT_ONCE", 1)
    monkeypatch.setattr(module, "_SECONDS_AFTERWARDS", 10_000.0)
    for expected in (1, 2):
        with pytest.raises(KeptOutputsLeftError, match="1 commits are kept so far"):
            record(pointer_event(execution_id="e-2"))
        assert len(committed(opened)) == expected
    assert record(pointer_event(execution_id="e-2"))["nothing_left"] is True


def test_no_batch_starts_that_would_not_end_in_time(
    opened: Stage, summarize: Step, plan: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 may take minutes for a batch of large outputs. Lambda would stop the function while it copies the next one."""
    opened.commit()
    stopped_and_resumed(opened, plan, summarize)
    monkeypatch.setattr(module, "_COMMITS_AT_ONCE", 1)
    seconds = [900.0]
    copy = ObjectStore.copy_result

    def slow(store: ObjectStore, source: str, target: str, size: int) -> str | None:
        seconds[0] -= 200
        return copy(store, source, target, size)

    monkeypatch.setattr(ObjectStore, "copy_result", slow)
    spec, rules = opened.spec("e-2"), ChecksumRules("sampled", lambda: seconds[0])
    # The first object has two outputs: of 500 seconds, the next batch may take 400, and the rest of the step 120.
    with pytest.raises(KeptOutputsLeftError, match="1 commits are kept so far"):
        module.keep_commits(spec, opened.deployment.store, rules)
    assert committed(opened) == ["a.parquet"]
    seconds[0] = 900.0
    module.keep_commits(spec, opened.deployment.store, ChecksumRules("sampled", lambda: 900.0))
    assert committed(opened) == ["a.parquet", "b.parquet"]


def change_output(stage: Stage, body_: bytes) -> None:
    stage.put_output("predictions", stage.spec(), layout.output_key("delays-ua", "a.parquet"), body_)


@pytest.mark.parametrize("how", ["missing", "shorter", "other bytes", "other spec"])
def test_outputs_that_differ_from_their_commit_are_not_kept(resumed: Stage, record: Step, how: str) -> None:
    key = outputs_prefix("predictions", resumed.spec()) + layout.output_key("delays-ua", "a.parquet")
    if how == "missing":
        resumed.s3.delete_object(Bucket=resumed.results, Key=key)
    elif how == "other spec":
        resumed.s3.delete_object(Bucket=resumed.results, Key=layout.job_spec_key("e-1", "delays-ua"))
    else:
        change_output(resumed, b"x" * (50 if how == "other bytes" else 7))
    result = record(pointer_event(execution_id="e-2"))
    assert committed(resumed) == []
    assert left(resumed, result) == ["a.parquet", "b.parquet"]
    assert result["data_manifest_uri"].endswith("snapshots/flights/objects.manifest")
    assert resumed.job(execution_id="e-2").commits_kept == 0


def test_nothing_is_kept_of_a_job_with_files_that_no_commit_names(resumed: Stage, record: Step) -> None:
    resumed.put_output("predictions", resumed.spec(), "model_id=delays-ua/forged.parquet", b"rows")
    result = record(pointer_event(execution_id="e-2"))
    assert (committed(resumed), len(left(resumed, result))) == ([], 2)


@pytest.mark.parametrize("method", ["objects_of", "segment"])
def test_a_source_that_expires_while_it_is_read_is_scored_again(
    resumed: Stage, record: Step, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The listing still had the file, or the spec was read before."""
    read = getattr(ObjectStore, method)

    def expired(store: ObjectStore, subject: Any, *rest: str) -> Any:
        if getattr(subject, "execution_id", "") == "e-1" or "/e-1/" in str(subject):
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return read(store, subject, *rest)

    monkeypatch.setattr(ObjectStore, method, expired)
    result = record(pointer_event(execution_id="e-2"))
    assert (result["nothing_left"], committed(resumed)) == (False, [])
    assert resumed.job(execution_id="e-2").commits_kept == 0


def test_large_outputs_are_copied_in_parts(
    resumed: Stage, record: Step, verify: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 copies at most 5 GB with one request."""
    monkeypatch.setattr(object_store, "COPY_IN_PARTS_BYTES", 30)
    parts: list[int] = []
    events = resumed.deployment.store._s3.meta.events
    events.register("provide-client-params.s3.UploadPartCopy", lambda params, **_: parts.append(params["PartNumber"]))
    record(pointer_event(execution_id="e-2"))
    # The predictions have 50 bytes, the quarantine 20.
    assert committed(resumed) == ["a.parquet"]
    assert len(parts) >= 1


def test_a_dataset_object_that_is_deleted_after_the_plan_still_fails_the_job(
    resumed: Stage, record: Step, verify: Step
) -> None:
    record(pointer_event(execution_id="e-2"))
    resumed.commit("e-2")
    resumed.s3.delete_object(Bucket=resumed.datasets, Key="flights/a.parquet")
    with pytest.raises(ObjectReplacedError, match=r"a\.parquet \(removed\).*fleetscore resume e-2"):
        verify(pointer_event(execution_id="e-2"))


def test_jobs_of_other_sizes_keep_what_their_models_have(
    stage: Stage, plan: Step, record: Step, summarize: Step
) -> None:
    stage.register("a")
    stage.register("b")
    stage.upload()
    plan(plan_event({"models_per_job": 2}))
    record(pointer_event("a.and-1-more"))
    stage.commit(job_id="a.and-1-more", objects=1)
    stopped_and_resumed(stage, plan, summarize, {"models_per_job": 1})
    for job_id in ("a", "b"):
        result = record(pointer_event(job_id, execution_id="e-2"))
        assert left(stage, result) == ["b.parquet"]
        assert committed(stage, job_id=job_id) == ["a.parquet"]


def test_a_joined_output_is_copied_once_and_kept_for_all_models(
    stage: Stage, plan: Step, record: Step, verify: Step, summarize: Step
) -> None:
    stage.register("a")
    stage.register("b")
    stage.upload()
    plan(plan_event({"output_layout": "joined", "models_per_job": 2}))
    job_id = "a.and-1-more"
    record(pointer_event(job_id))
    spec, (first, second) = stage.spec(job_id=job_id), stage.objects(job_id=job_id)
    stage.write_segment(spec, *(stage.write_outputs(spec, model, first) for model in spec.models))
    # The commit of the other model is missing.
    stage.commit_one(spec, spec.models[0], second)
    stopped_and_resumed(stage, plan, summarize)
    copied = copies(stage)
    result = record(pointer_event(job_id, execution_id="e-2"))
    assert left(stage, result) == ["b.parquet"]
    assert copied == [outputs_prefix("predictions", stage.spec("e-2", job_id)) + "a.parquet"]
    assert committed(stage, job_id=job_id) == ["a.parquet", "a.parquet"]


def test_a_fleet_keeps_its_objects_until_one_of_its_models_changes(
    stage: Stage, plan: Step, record: Step, summarize: Step
) -> None:
    stage.set_fleet()
    for model_id in ("ua", "aa"):
        spec = any_model_spec(model_id)
        stage.register(model_id, spec=spec, fleet="delays", route=[model_id.upper()])
    for key in ("a.parquet", "b.parquet"):
        stage.upload_table(pa.table({"distance": [1.0], "hour": pa.array([1], pa.int32()), "carrier": [key]}), key=key)
    plan(plan_event({}))
    job_id = "delays.fleet"
    record(pointer_event(job_id))
    spec = stage.spec(job_id=job_id)
    stage.write_segment(spec, stage.write_outputs(spec, spec.committing_models[0], stage.objects(job_id=job_id)[0]))
    stopped_and_resumed(stage, plan, summarize)
    assert left(stage, record(pointer_event(job_id, execution_id="e-2"))) == ["b.parquet"]
    stage.register("ua", spec=any_model_spec("ua", "2"), version="2", fleet="delays", route=["UA"])
    plan(plan_event({"resume": "e-1"}, "e-3"))
    assert stage.spec("e-3", job_id).sources == ()
    assert "'delays': the fleet, its models or their versions have changed" in stage.execution("e-3").notes[1]


def test_parts_keep_what_other_parts_and_whole_jobs_have(
    stage: Stage, plan: Step, record: Step, summarize: Step
) -> None:
    stage.register()
    for key, size in (("a.parquet", 900), ("b.parquet", 100), ("c.parquet", 100)):
        stage.upload(keys=[key], size=size)
    plan(plan_event({"instance_count": 2}))
    parts = [job.job_id for job in stage.deployment.table.jobs("e-1")]
    assert parts == ["delays-ua.part-1-of-2", "delays-ua.part-2-of-2"]
    record(pointer_event(parts[1]))
    stage.commit(job_id=parts[1])
    stopped_and_resumed(stage, plan, summarize, {"instance_count": 1})
    assert left(stage, record(pointer_event(execution_id="e-2"))) == ["a.parquet"]
    assert committed(stage) == ["b.parquet", "c.parquet"]
    stage.commit("e-2", objects=1)
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}, "e-2"))
    plan(plan_event({"resume": "e-2", "instance_count": 3}, "e-3"))
    for number in range(1, 4):
        part = record(pointer_event(f"delays-ua.part-{number}-of-3", execution_id="e-3"))
        assert part["nothing_left"] is True


def test_a_later_attempt_of_a_resumed_job_scores_what_is_left(resumed: Stage, record: Step, classify: Step) -> None:
    record(pointer_event(execution_id="e-2"))
    decision = classify({**failure_event("Lambda.Unknown"), "execution_id": "e-2"})
    assert left(resumed, record(decision)) == ["b.parquet"]
    job = resumed.job(execution_id="e-2")
    assert (job.attempt, job.commits, job.commits_kept) == (2, 1, 1)


def test_kept_commits_are_no_progress_of_the_attempt(resumed: Stage, record: Step, classify: Step) -> None:
    record(pointer_event(execution_id="e-2"))
    decision = classify({**failure_event("States.Timeout"), "execution_id": "e-2"})
    assert (decision["try_again"], decision["kind"]) == (False, "CONFIGURATION")
    assert resumed.job(execution_id="e-2").commits == 1


def test_an_older_source_is_used_where_a_newer_one_has_nothing(
    resumed: Stage, plan: Step, record: Step, summarize: Step
) -> None:
    record(pointer_event(execution_id="e-2"))
    spec = resumed.spec("e-2")
    resumed.commit_one(spec, spec.models[0], resumed.objects("e-2")[1])
    summarize(summary_event({"failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": ""}}, "e-2"))
    plan(plan_event({"resume": "e-2"}, "e-3"))
    assert [source.execution_id for source in resumed.spec("e-3").sources] == ["e-2", "e-1"]
    # What the newer one had copied is gone.
    key = outputs_prefix("predictions", spec) + layout.output_key("delays-ua", "a.parquet")
    resumed.s3.delete_object(Bucket=resumed.results, Key=key)
    assert record(pointer_event(execution_id="e-3"))["nothing_left"] is True
    assert committed(resumed, "e-3") == ["a.parquet", "b.parquet"]
