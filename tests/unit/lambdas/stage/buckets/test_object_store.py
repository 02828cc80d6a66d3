import pytest
from botocore.exceptions import ClientError

from contract import layout
from contract.job.scoring_spec import JobSpec, PinnedObject, SnapshotRef
from contract.job.snapshot import Snapshot
from contract.problems import InvalidInputError
from contract.workflow.messages import JobPointer
from lambdas.errors import PlanChangedError
from lambdas.stage.buckets.dataset_objects import StoredArtifact
from tests.unit.lambdas.builders import Stage, any_model_spec


def any_snapshot(*keys: str) -> Snapshot:
    return Snapshot("flights", "datasets-test", tuple(PinnedObject(key, 1, "e") for key in keys))


def any_spec(version: str = "1", snapshot: SnapshotRef | None = None) -> JobSpec:
    ref = snapshot or SnapshotRef("s3://results-test/s", "0" * 64, 1, 1)
    return JobSpec("e-1", "delays-ua", "flights", "datasets-test", (any_model_spec(version=version),), ref)


def test_a_listing_has_only_keys_below_the_prefix(stage: Stage) -> None:
    stage.upload(keys=["a.parquet", "b/c.parquet"])
    stage.upload("flights-other", ["x.parquet"])
    listing = stage.deployment.store.dataset_objects("flights")
    assert [entry.key for entry in listing] == ["a.parquet", "b/c.parquet"]


def test_keys_with_special_characters_are_listed_unchanged(stage: Stage) -> None:
    keys = ["carrier=UA/Zürich & 100%+.parquet", "with space.parquet"]
    stage.upload(keys=keys)
    assert sorted(entry.key for entry in stage.deployment.store.dataset_objects("flights")) == sorted(keys)


def test_a_different_spec_is_refused(stage: Stage) -> None:
    for _ in range(2):
        stage.deployment.store.add_job_spec(any_spec())
    with pytest.raises(PlanChangedError, match=r"s3://results-test/executions/e-1/jobs/delays-ua/job\.json"):
        stage.deployment.store.add_job_spec(any_spec("2"))
    assert stage.deployment.store.job_spec("e-1", "delays-ua") == any_spec()


def test_a_different_snapshot_is_refused(stage: Stage) -> None:
    store = stage.deployment.store
    first, again = (store.add_snapshot("e-1", any_snapshot("a.parquet")) for _ in range(2))
    assert first == again
    with pytest.raises(PlanChangedError, match=r"s3://results-test/executions/e-1/snapshots/flights/objects\.jsonl"):
        store.add_snapshot("e-1", any_snapshot("a.parquet", "b.parquet"))
    assert store.objects_of(any_spec(snapshot=first)) == any_snapshot("a.parquet").objects


def test_a_replaced_snapshot_is_refused(stage: Stage) -> None:
    ref = stage.deployment.store.add_snapshot("e-1", any_snapshot("a.parquet"))
    key = layout.snapshot_key("e-1", "flights")
    stage.s3.put_object(Bucket="results-test", Key=key, Body=any_snapshot("b.parquet").text())
    with pytest.raises(
        InvalidInputError, match=r"snapshot s3://results-test/.*: SHA-256: got .* The file was replaced"
    ):
        stage.deployment.store.objects_of(any_spec(snapshot=ref))


def test_jobs_over_one_snapshot_read_it_once(stage: Stage) -> None:
    store = stage.deployment.store
    ref = store.add_snapshot("e-1", any_snapshot("a.parquet"))
    read: list[str] = []
    store._s3.meta.events.register("provide-client-params.s3.GetObject", lambda params, **_: read.append(params["Key"]))
    assert {store.objects_of(any_spec(version, ref)) for version in ("1", "2", "3")} == {
        any_snapshot("a.parquet").objects
    }
    assert read == [layout.snapshot_key("e-1", "flights")]


def test_a_different_list_of_jobs_is_refused(stage: Stage) -> None:
    pointers = [JobPointer("e-1", job_id, 1) for job_id in ("a", "b")]
    for _ in range(2):
        stage.deployment.store.add_jobs("e-1", pointers)
    with pytest.raises(PlanChangedError):
        stage.deployment.store.add_jobs("e-1", pointers[:1])
    assert [item["job_id"] for item in stage.read_json(layout.jobs_key("e-1"))] == ["a", "b"]


def test_specs_are_written_without_whitespace(stage: Stage) -> None:
    stage.deployment.store.add_job_spec(any_spec())
    body = stage.s3.get_object(Bucket="results-test", Key=layout.job_spec_key("e-1", "delays-ua"))["Body"].read()
    assert b'"objects":1,"bytes":1' in body


def test_missing_artifacts_are_left_out(stage: Stage) -> None:
    stage.register()
    stage.register("delays-ev")
    found, missing = (layout.artifact_key("delays-ua", version) for version in ("1", "2"))
    assert stage.deployment.store.artifacts([missing, found]) == {found: StoredArtifact(25, archive="")}


def test_many_artifacts_take_few_requests(stage: Stage) -> None:
    keys = [layout.artifact_key(f"m-{number:03d}", "1") for number in range(200)]
    for key in keys:
        stage.s3.put_object(Bucket="models-test", Key=key, Body=b"")
    calls: list[str] = []
    store = stage.deployment.store
    store._s3.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
    assert list(store.artifacts(keys)) == keys
    assert calls == ["ListObjectsV2"] * 4


@pytest.mark.parametrize(("size", "asks"), [(1_000, False), (2 << 20, True)])
def test_only_large_objects_are_announced_before_they_are_sent(stage: Stage, size: int, asks: bool) -> None:
    """An answer to `Expect: 100-continue` is a round trip more."""
    headers: list[dict[str, str]] = []
    store = stage.deployment.store
    store._s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: headers.append(request.headers))
    store._put("executions/e-1/file", b"x" * size)
    assert ["Expect" in sent for sent in headers] == [asks]


def test_a_missing_spec_raises(stage: Stage) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        stage.deployment.store.job_spec("e-1", "nobody")
