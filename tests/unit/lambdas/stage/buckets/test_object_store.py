import pytest
from botocore.exceptions import ClientError

from contract import layout
from contract.job.scoring_spec import JobSpec, PinnedObject
from contract.workflow.messages import JobPointer
from lambdas.errors import PlanChangedError
from lambdas.stage.buckets.object_store import StoredArtifact
from tests.unit.lambdas.builders import Stage, any_model_spec


def any_spec(*keys: str) -> JobSpec:
    objects = tuple(PinnedObject(key, 1, "e") for key in keys)
    return JobSpec("e-1", "delays-ua", "flights", "datasets-test", (any_model_spec(),), objects)


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
        stage.deployment.store.add_job_spec(any_spec("a.parquet"))
    with pytest.raises(PlanChangedError, match=r"s3://results-test/executions/e-1/jobs/delays-ua/job\.json"):
        stage.deployment.store.add_job_spec(any_spec("a.parquet", "b.parquet"))
    assert stage.deployment.store.job_spec("e-1", "delays-ua") == any_spec("a.parquet")


def test_a_different_list_of_jobs_is_refused(stage: Stage) -> None:
    pointers = [JobPointer("e-1", job_id, 1) for job_id in ("a", "b")]
    for _ in range(2):
        stage.deployment.store.add_jobs("e-1", pointers)
    with pytest.raises(PlanChangedError):
        stage.deployment.store.add_jobs("e-1", pointers[:1])
    assert [item["job_id"] for item in stage.read_json(layout.jobs_key("e-1"))] == ["a", "b"]


def test_specs_are_written_without_whitespace(stage: Stage) -> None:
    stage.deployment.store.add_job_spec(any_spec("a.parquet"))
    body = stage.s3.get_object(Bucket="results-test", Key=layout.job_spec_key("e-1", "delays-ua"))["Body"].read()
    assert b'"key":"a.parquet","size":1' in body


def test_a_missing_artifact_has_no_size(stage: Stage) -> None:
    stage.register()
    assert stage.deployment.store.artifact("delays-ua", "1") == StoredArtifact(25, archive="")
    assert stage.deployment.store.artifact("delays-ua", "2") is None


def test_a_missing_spec_raises(stage: Stage) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        stage.deployment.store.job_spec("e-1", "nobody")
