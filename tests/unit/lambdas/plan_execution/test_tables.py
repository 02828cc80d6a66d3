"""Plans for datasets that are tables, and for columns and folders named like the outputs' folders."""

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from contract import codec, layout
from contract.catalog.model_fields import Feature
from contract.dataset.input_options import InputOptions
from contract.job.scoring_spec import PinnedObject
from contract.triggers.uploads import ObjectVersion, UploadManifest
from lambdas.errors import InvalidRequestError
from tests.unit.lambdas.builders import Stage, any_model_spec, plan_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
GOOD = pa.table({"distance": pa.array([1.0]), "hour": pa.array([1], pa.int32())})
KEY = "uploads/flights/x.json"


def refusal(plan: Step, **request: Any) -> str:
    with pytest.raises(InvalidRequestError) as refused:
        plan(plan_event(request))
    return str(refused.value)


def put(stage: Stage, *keys: str) -> None:
    for key in keys:
        stage.s3.put_object(Bucket=stage.datasets, Key=layout.dataset_prefix("flights") + key, Body=b"{}")


def put_manifest(stage: Stage, origin: Any, *keys: str, names_objects: bool = False) -> None:
    objects = []
    for key in keys:
        head = stage.s3.head_object(Bucket=stage.datasets, Key=f"flights/{key}")
        objects.append(ObjectVersion(key, "", head["ETag"].strip('"'), head["ContentLength"]))
    manifest = UploadManifest("flights", origin, tuple(objects), names_objects=names_objects)
    body = json.dumps(codec.to_json(manifest)).encode()
    stage.s3.put_object(Bucket=stage.results, Key=KEY, Body=body)


@pytest.mark.parametrize(
    ("evidence", "found", "remedy"),
    [
        ("_delta_log/00000000000000000000.json", "a Delta Lake table", "fleetscore run --table delta --input"),
        ("t/_delta_log/0.json", "a Delta Lake table", "fleetscore run --table delta --table-folder t/ --input"),
        ("metadata/v1.metadata.json", "an Iceberg table", "fleetscore run --table iceberg --input"),
        (".hoodie/hoodie.properties", "a Hudi table", "Export its current rows to Parquet files"),
    ],
)
def test_a_table_is_refused_unless_the_record_takes_its_files(
    stage: Stage, plan: Step, evidence: str, found: str, remedy: str
) -> None:
    stage.register()
    stage.upload_table(GOOD, key="t/a.parquet")
    put(stage, evidence, "metadata/snap-1.avro" if "metadata" in evidence else "_SUCCESS")
    reason = refusal(plan)
    assert f"dataset 'flights': got '{found} ({evidence})', expected files of which every row counts" in reason
    assert remedy in reason
    assert "set input.table to 'files' for model 'delays-ua'" in reason
    assert "with 1 problem" in reason
    stage.register(spec=any_model_spec(input=InputOptions(table="files")))
    assert plan(plan_event({}, "e-2"))["job_count"] == 1
    assert [item.key for item in stage.objects("e-2")] == ["t/a.parquet"]


def test_copied_data_files_of_iceberg_are_refused_by_their_footer(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload_table(GOOD.replace_schema_metadata({"iceberg.schema": "{}"}), key="a.parquet")
    assert "dataset 'flights': got 'an Iceberg table (a.parquet)'" in refusal(plan)


@pytest.mark.parametrize("origin", ["window", "marker"])
def test_uploads_to_a_table_are_refused(stage: Stage, plan: Step, origin: str) -> None:
    stage.register()
    stage.upload_table(GOOD, key="t/day=1/a.parquet")
    put_manifest(stage, origin, "t/day=1/a.parquet")
    assert plan(plan_event({"objects_manifest": KEY}, "e-0"))["job_count"] == 1
    put(stage, "t/_delta_log/0.json")
    assert "got 'a Delta Lake table (t/_delta_log/0.json)'" in refusal(plan, objects_manifest=KEY)


@pytest.mark.parametrize("origin", ["marker", "table"])
def test_named_objects_of_a_table_are_scored(stage: Stage, plan: Step, origin: str) -> None:
    stage.register()
    put(stage, "_delta_log/0.json")
    for key in ("a.parquet", "deleted.parquet"):
        stage.upload_table(GOOD, key=key)
    put_manifest(stage, origin, "a.parquet", names_objects=True)
    assert plan(plan_event({"objects_manifest": KEY}))["job_count"] == 1
    [pinned] = stage.objects()
    head = stage.s3.head_object(Bucket=stage.datasets, Key="flights/a.parquet")
    assert pinned == PinnedObject("a.parquet", head["ContentLength"], head["ETag"].strip('"'))


def test_a_snapshot_whose_files_changed_is_refused(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload_table(GOOD)
    put_manifest(stage, "table", "a.parquet", names_objects=True)
    put(stage, "a.parquet")
    reason = refusal(plan, objects_manifest=KEY)
    assert (
        "got '1 files', expected a snapshot whose files all exist. a.parquet: replaced since the snapshot was read"
        in reason
    )
    assert "Start the command again, which reads the table's newest snapshot." in reason


def test_hidden_files_of_a_snapshot_are_refused_and_not_left_out(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload_table(GOOD)
    stage.upload_table(GOOD, key="_old/b.parquet")
    put_manifest(stage, "table", "a.parquet", "_old/b.parquet", names_objects=True)
    assert "got '1 hidden files'" in refusal(plan, objects_manifest=KEY)


@pytest.mark.parametrize("name", ["dataset", "Execution_Id", "JOB_ID", "model_id"])
def test_kept_columns_named_like_folders_of_the_output_are_refused(stage: Stage, plan: Step, name: str) -> None:
    stage.register()
    stage.upload_table(GOOD.append_column(name, pa.array(["x"])))
    reason = refusal(plan)
    assert f"on dataset 'flights': columns: got 'a.parquet with {name}', expected no output column named like" in reason
    assert "Rename them in the dataset, or register a version with columns 'keys'." in reason
    features = (*any_model_spec().features, Feature(name, "string"))
    stage.register(spec=any_model_spec(columns="keys", key_columns=("hour",), features=features))
    assert plan(plan_event({}, "e-2"))["job_count"] == 1


def test_folders_named_like_those_of_the_output_are_refused(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload_table(GOOD, key="Model_ID=7/a.parquet")
    reason = refusal(plan)
    assert "dataset 'flights': object key: got 'Model_ID=7/a.parquet', expected no folders named dataset=…" in reason


def test_a_partition_column_may_also_be_in_the_file(stage: Stage, plan: Step) -> None:
    stage.register(spec=any_model_spec(partition_columns=("hour",)))
    stage.upload_table(GOOD, key="hour=1/a.parquet")
    assert plan(plan_event({}))["job_count"] == 1
    stage.upload_table(GOOD.set_column(1, "hour", pa.array(["1"])), key="hour=1/a.parquet")
    with pytest.raises(InvalidRequestError, match="hour is string, not int32"):
        plan(plan_event({}, "e-2"))
