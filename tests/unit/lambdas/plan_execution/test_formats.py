"""Plans for datasets of text: the columns of objects, and the models that share a job."""

import gzip
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from contract import layout
from contract.catalog.model_fields import Feature
from contract.catalog.models import Compute, ModelVersion
from contract.dataset.input_options import InputOptions
from contract.dataset.text_head import NoDataError
from contract.job.job_input import JobInput
from contract.job.scoring_spec import PinnedObject
from contract.table import catalog_items
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.dataset.object_columns import ColumnsUnknownError, object_columns
from lambdas.dataset.parquet_footer import Column
from lambdas.errors import InvalidRequestError
from lambdas.planning.scoring.form_groups import form_groups
from lambdas.planning.scoring.form_jobs import form_jobs
from tests.unit.lambdas.builders import STAGE_COMPUTE, Stage, any_model_spec, assign, plan_event, snapshots_of

Step = Callable[[dict[str, Any]], dict[str, Any]]
CSV = b"distance,hour,more\n1,2,x\n"


def columns_of(key: str, content: bytes, **options: Any) -> list[str]:
    item = PinnedObject(key, len(content), "e")
    wanted = JobInput(InputOptions(**options), needed=(frozenset({"distance", "hour"}),))
    found = object_columns(item, wanted, lambda start, end: content[start:end])
    assert all(column.type is None for column in found)
    return [column.name for column in found]


def register(stage: Stage, model_id: str, dataset: str = "flights", **changes: Any) -> None:
    stage.register(model_id, dataset=dataset)
    version = ModelVersion(spec=any_model_spec(model_id, **changes), dataset=dataset)
    stage.table.put_item(Item=catalog_items.version_item(version))


def put(stage: Stage, key: str, content: bytes, dataset: str = "flights") -> None:
    stage.s3.put_object(Bucket=stage.datasets, Key=layout.dataset_prefix(dataset) + key, Body=content)


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("a.csv", CSV),
        ("a.csv.gz", gzip.compress(CSV)),
        ("a.csv.gz", gzip.compress(CSV[:5]) + gzip.compress(CSV[5:])),
        ("a.tsv", CSV.replace(b",", b"\t")),
        ("a.jsonl", b'{"distance":1,"hour":2}\n{"more":"x"}\n'),
        ("a.ndjson.gz", gzip.compress(b'{"distance":1,"hour":2,"more":"x"}\n')),
        ("A.CSV", CSV),
        ("a.csv", gzip.compress(CSV)),
        ("a.csv.gz", CSV),
        ("a.csv.gz", gzip.compress(b"") + gzip.compress(CSV)),
        ("20260101_000000_00001_abcde", CSV),
        ("20260101_000000_00001_abcde.gz", gzip.compress(b'{"distance":1,"hour":2,"more":"x"}\n')),
        ("a.txt", CSV),
    ],
)
def test_columns_of_text_are_read_from_the_head(key: str, content: bytes) -> None:
    assert columns_of(key, content) == ["distance", "hour", "more"]


@pytest.mark.parametrize("content", [b"", b"\n", gzip.compress(b""), gzip.compress(b"\xef\xbb\xbf\r\n")])
@pytest.mark.parametrize("key", ["a.csv", "a.json", "000"])
def test_objects_without_data_have_no_columns(key: str, content: bytes) -> None:
    with pytest.raises(NoDataError):
        columns_of(key, content)
    if key == "a.csv":
        assert columns_of(key, content or b"\n", csv_header=False, csv_columns=("a", "b")) == ["a", "b"]


def test_columns_are_read_with_the_models_input_options() -> None:
    assert columns_of("a.csv", b"a;b\n", csv_delimiter=";") == ["a", "b"]
    assert columns_of("a.csv", b"1,2\n", csv_header=False, csv_columns=("a", "b")) == ["a", "b"]


def test_only_the_head_of_a_large_object_is_read() -> None:
    content = gzip.compress(CSV + b"1,2,x\n" * 10_000_000, 1)
    asked: list[tuple[int, int]] = []

    def read(start: int, end: int) -> bytes:
        asked.append((start, end))
        return content[start:end]

    item = PinnedObject("a.csv.gz", len(content), "e")
    assert object_columns(item, JobInput(), read)[0] == Column("distance", None)
    assert asked == [(0, min(len(content), (1 << 20) + (64 << 10)))]


@pytest.mark.parametrize(
    ("key", "content", "why"),
    [
        ("a.csv", b"PAR1", "it looks like Parquet"),
        ("a.csv", b"a\0b\n", "NUL bytes"),
        ("a.csv.gz", gzip.compress(CSV)[:10] + b"\xff" * 20, "gzip that is damaged"),
        ("a.csv.zst", b"\x28\xb5\x2f\xfd", "zstd, which Python's standard library cannot read"),
        ("a.jsonl", b"[1]\n", "none of its first lines is a JSON object"),
        ("a.csv", b"x," * (1 << 20), "its first line is longer than 1,048,576 bytes"),
        ("a.parquet", b"a,b\n" * 10, "not a Parquet file"),
    ],
)
def test_unreadable_objects_have_unknown_columns(key: str, content: bytes, why: str) -> None:
    with pytest.raises(ColumnsUnknownError, match=why):
        columns_of(key, content)


def test_a_dataset_of_several_formats_is_planned(stage: Stage, plan: Step) -> None:
    stage.register(compute=Compute(instance_count=1))
    put(stage, "a.csv.gz", gzip.compress(CSV))
    put(stage, "b.jsonl", b'{"distance":1,"hour":2}\n')
    stage.upload_table(pa.table({"distance": pa.array([1.0]), "hour": pa.array([1], pa.int32())}), key="c.parquet")
    assert plan(plan_event({}))["job_count"] == 1
    assert [item.key for item in stage.objects()] == ["a.csv.gz", "b.jsonl", "c.parquet"]


def test_a_parquet_object_without_an_extension_is_recognized(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload_table(pa.table({"distance": pa.array(["far"]), "hour": pa.array([1], pa.int32())}), key="000")
    with pytest.raises(InvalidRequestError, match="features: got '000 where distance is string, not double"):
        plan(plan_event({}))


def test_an_object_that_shows_no_format_is_refused_once_with_the_remedy(stage: Stage, plan: Step) -> None:
    stage.register()
    register(stage, "other")
    put(stage, "a.csv", CSV)
    put(stage, "readme.txt", b"Flights of July\n")
    with pytest.raises(InvalidRequestError) as refusal:
        plan(plan_event({}))
    assert "with 1 problem" in str(refusal.value)
    assert "dataset 'flights': object key: got 'readme.txt'" in str(refusal.value)
    assert "Set input.format in the model's record" in str(refusal.value)


def test_the_records_format_reads_objects_whatever_their_names(stage: Stage, plan: Step) -> None:
    register(stage, "declared", input=InputOptions(format="csv", csv_header=False))
    put(stage, "000.txt", b"1,2\n")
    assert plan(plan_event({}))["job_count"] == 1
    assert stage.spec(job_id="declared").models[0].input.format == "csv"


def test_an_object_of_each_extension_is_checked(stage: Stage, plan: Step) -> None:
    stage.register()
    put(stage, "a.csv", CSV)
    put(stage, "b.csv", b"not,checked\n")
    put(stage, "manifest.json", b'{"files": 1}\n')
    with pytest.raises(InvalidRequestError, match=r"features: got 'manifest\.json without distance") as refusal:
        plan(plan_event({}))
    assert "with 1 problem" in str(refusal.value)


def test_columns_come_from_the_first_object_with_data(stage: Stage, plan: Step) -> None:
    stage.register()
    put(stage, "a.csv", b"")
    put(stage, "b.csv", b"\n")
    put(stage, "c.csv", b"distance\n1\n")
    with pytest.raises(InvalidRequestError, match=r"features: got 'c\.csv without hour"):
        plan(plan_event({}))


def test_a_dataset_of_objects_without_data_is_planned(stage: Stage, plan: Step) -> None:
    stage.register()
    put(stage, "part-0.parquet", b"")
    put(stage, "part-0.json", b"")
    put(stage, "000", b"")
    assert plan(plan_event({}))["job_count"] == 1


def test_a_header_without_the_columns_is_refused(stage: Stage, plan: Step) -> None:
    stage.register()
    put(stage, "a.csv", b"Distance,minute\n1,2\n")
    with pytest.raises(InvalidRequestError) as refusal:
        plan(plan_event({}))
    reason = str(refusal.value)
    assert "features: got 'a.csv without distance (double), hour (int32)'" in reason
    assert "the object has Distance for distance" in reason
    assert "it has Distance, minute" in reason


def test_a_first_row_that_may_be_data_is_not_shown(stage: Stage, plan: Step) -> None:
    stage.register()
    put(stage, "a.csv", b"123-45-6789,Ada\n")
    with pytest.raises(InvalidRequestError, match="without distance") as refusal:
        plan(plan_event({}))
    assert "123-45" not in str(refusal.value)
    assert "Ada" not in str(refusal.value)


def test_each_model_is_checked_with_its_own_input_options(stage: Stage, plan: Step) -> None:
    register(stage, "commas")
    register(stage, "semicolons", input=InputOptions(csv_delimiter=";"))
    put(stage, "a.csv", b"distance;hour\n1;2\n")
    with pytest.raises(InvalidRequestError) as refusal:
        plan(plan_event({}))
    assert "with 1 problem" in str(refusal.value)
    assert "model 'commas' version '1' on dataset 'flights': features: got 'a.csv without" in str(refusal.value)


def test_partition_columns_count_as_columns(stage: Stage, plan: Step) -> None:
    register(stage, "by-key", partition_columns=("hour",))
    put(stage, "hour=1/a.csv", b"distance\n1\n")
    assert plan(plan_event({}))["job_count"] == 1


def test_keys_without_partition_columns_are_named(stage: Stage, plan: Step) -> None:
    register(stage, "by-key", partition_columns=("hour",))
    put(stage, "hour=1/a.csv", b"distance\n1\n")
    put(stage, "b.csv", b"distance\n1\n")
    put(stage, "hour=1/hour=2/c.csv", b"distance\n1\n")
    with pytest.raises(InvalidRequestError) as refusal:
        plan(plan_event({}))
    reason = str(refusal.value)
    assert "partition_columns: got '2 objects whose keys lack them: b.csv, hour=1/hour=2/c.csv'" in reason
    assert "expected only objects whose keys have the parts 'hour=…/'" in reason


def jobs_of(key: str, *versions: ModelVersion) -> list[list[str]]:
    objects = {"d": (PinnedObject(key, 1, "e"),)}
    jobs = form_jobs(
        form_groups(ExecutionRequest(models_per_job=10), assign(*versions), snapshots_of(objects), STAGE_COMPUTE)
    )
    return sorted([model.model_id for model in job.models] for job in jobs)


def version(model_id: str, **changes: Any) -> ModelVersion:
    return ModelVersion(spec=any_model_spec(model_id, **changes), dataset="d")


def test_models_with_different_input_options_get_separate_jobs() -> None:
    tabs = InputOptions(csv_delimiter="\t")
    versions = [
        version("a"),
        version("b", input=tabs),
        version("c", partition_columns=("day",)),
        version("d", input=tabs),
    ]
    assert jobs_of("a.csv", *versions) == [["a"], ["b", "d"], ["c"]]


def test_models_with_different_types_share_a_job_only_over_parquet() -> None:
    versions = [version("a"), version("b", features=(Feature("distance", "float"),)), version("c")]
    assert jobs_of("a.parquet", *versions) == [["a", "b", "c"]]
    assert jobs_of("a.csv", *versions) == [["a", "c"], ["b"]]


def test_jobs_over_text_respect_models_per_job() -> None:
    objects = {"d": (PinnedObject("a.csv", 1, "e"),)}
    versions = [version(f"m{number}") for number in range(7)]
    jobs = form_jobs(
        form_groups(ExecutionRequest(models_per_job=3), assign(*versions), snapshots_of(objects), STAGE_COMPUTE)
    )
    assert sorted(len(job.models) for job in jobs) == [1, 3, 3]


def test_a_header_that_the_record_denies_is_refused(stage: Stage, plan: Step) -> None:
    register(stage, "denied", input=InputOptions(csv_header=False))
    put(stage, "a.csv", CSV)
    with pytest.raises(InvalidRequestError, match="has the names of the columns, but the record says that there is no"):
        plan(plan_event({}))


@pytest.mark.parametrize(
    ("options", "content", "words"),
    [
        ({"format": "jsonl"}, b"PAR1 and more", r"input\.format\).*It looks like Parquet: correct input\.format"),
        ({"csv_header": False}, b"1,2,x\n3,4,y\n", r"have 3 cells, and csv_columns of the record has 2: name all"),
        ({}, b"distance,hour\na,1,2\nb,3,4\n", r"have 3 cells, and the header has 2: write the object again"),
    ],
)
def test_an_object_of_which_every_row_would_be_bad_is_refused(
    stage: Stage, plan: Step, options: dict[str, Any], content: bytes, words: str
) -> None:
    register(stage, "mistaken", input=InputOptions(**options))
    put(stage, "a.csv", content)
    with pytest.raises(InvalidRequestError, match=words):
        plan(plan_event({}))


def test_a_single_row_with_another_number_of_cells_is_left_to_the_job(stage: Stage, plan: Step) -> None:
    register(stage, "tolerant", input=InputOptions(csv_header=False))
    put(stage, "a.csv", b"1,2,x\n")
    put(stage, "b.csv", b"1,2,x\n3,4\n")
    assert plan(plan_event({}))


def test_a_header_in_another_encoding_is_refused_with_the_remedy(stage: Stage, plan: Step) -> None:
    stage.register()
    put(stage, "a.csv", "distance,hour,Größe\n1,2,3\n".encode("cp1252"))
    with pytest.raises(InvalidRequestError, match=r"Its header is not UTF-8: set input\.csv_encoding"):
        plan(plan_event({}))


def test_a_first_row_that_is_read_as_the_header_is_refused_with_the_remedy(stage: Stage, plan: Step) -> None:
    stage.register()
    put(stage, "a.csv", b"1,2\n")
    with pytest.raises(InvalidRequestError, match=r"register the model with --no-csv-header and the columns in order"):
        plan(plan_event({}))


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (b'{"distance":1}\n', ""),
        (b'{"distance":1,"Hour":2}\n', "Column names are case-sensitive; the object has Hour for hour"),
        (b'{"Distances":1}\n', "without distance"),
    ],
)
def test_json_lines_may_lack_a_nullable_feature_but_not_all(
    stage: Stage, plan: Step, line: bytes, refusal: str
) -> None:
    register(stage, "nullable", features=(Feature("distance", "double"), Feature("hour", "int32")))
    put(stage, "a.jsonl", line)
    if refusal:
        with pytest.raises(InvalidRequestError, match=refusal):
            plan(plan_event({}))
    else:
        assert plan(plan_event({}))["job_count"] == 1


def test_csv_in_another_encoding_is_planned(stage: Stage, plan: Step) -> None:
    register(stage, "german", input=InputOptions(csv_encoding="utf-16"))
    put(stage, "a.csv", "distance,hour,größe\n1,2,ü\n".encode("utf-16"))
    assert plan(plan_event({}))["job_count"] == 1
