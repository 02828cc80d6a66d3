"""Plans over archived objects and artifacts."""

from collections.abc import Callable
from typing import Any

import pytest

from contract import layout
from lambdas.errors import InvalidRequestError
from tests.unit.lambdas.builders import ARTIFACT, Stage, plan_event

Step = Callable[[dict[str, Any]], dict[str, Any]]


def test_archived_objects_and_artifacts_are_refused_together(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload()
    key = layout.dataset_prefix("flights") + "c.parquet"
    stage.s3.put_object(Bucket=stage.datasets, Key=key, Body=b"x", StorageClass="GLACIER")
    artifact = layout.artifact_key("delays-ua", "1")
    stage.s3.put_object(Bucket=stage.models, Key=artifact, Body=ARTIFACT, StorageClass="DEEP_ARCHIVE")
    with pytest.raises(InvalidRequestError) as error:
        plan(plan_event({}))
    text = str(error.value)
    assert "2 problems" in text
    assert "dataset 'flights': got '1 of 3 objects in archived storage'" in text
    assert "The first: c.parquet (GLACIER)." in text
    assert "version '1': artifact: got 'DEEP_ARCHIVE', expected an object that can be read at once" in text
    assert "Restore it" in text


def test_archived_objects_that_are_not_data_do_not_matter(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload()
    key = layout.dataset_prefix("flights") + "_old/c.parquet"
    stage.s3.put_object(Bucket=stage.datasets, Key=key, Body=b"x", StorageClass="GLACIER")
    assert plan(plan_event({}))["job_count"] == 1


def test_an_upload_in_archived_storage_is_told_from_others(stage: Stage) -> None:
    stage.upload()
    key = layout.dataset_prefix("flights") + "c.parquet"
    stage.s3.put_object(Bucket=stage.datasets, Key=key, Body=b"x", StorageClass="GLACIER")
    found = stage.deployment.store.named_objects("flights", ["a.parquet", "b.parquet", "c.parquet"])
    assert {key: item.archive for key, item in found.items()} == {
        "a.parquet": "",
        "b.parquet": "",
        "c.parquet": "GLACIER",
    }
