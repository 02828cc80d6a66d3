import json
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from contract.catalog.model_formats import OutputFormat
from contract.dataset.input_options import InputOptions
from scoring.columns.column_plan import extended_metadata, field_from_key, is_readable, plan_columns
from scoring.columns.feature_casts import cast_to_declared
from scoring.columns.predictions import output_fields
from scoring.errors import ConfigurationError, DataError, Reason
from tests.unit.scoring.support.model_specs import any_spec

PREDICTION = (pa.field("prediction", pa.float64()),)


@pytest.mark.parametrize(
    ("found", "declared", "safe"),
    [
        (pa.int32(), "int64", True),
        (pa.int64(), "int32", True),
        (pa.uint8(), "int16", True),
        (pa.uint16(), "int16", True),
        (pa.int8(), "uint64", True),
        (pa.float64(), "int64", True),
        (pa.float64(), "bool", False),
        (pa.bool_(), "double", True),
        (pa.bool_(), "int8", True),
        (pa.int64(), "bool", False),
        (pa.float32(), "double", True),
        (pa.float64(), "float", False),
        (pa.int64(), "float", True),
        (pa.decimal128(9, 2), "double", True),
        (pa.decimal256(60, 2), "float", True),
        (pa.decimal32(7, 0), "int8", True),
        (pa.decimal128(9, 2), "string", False),
        (pa.timestamp("us"), "int64", False),
        (pa.timestamp("us"), "timestamp[s]", True),
        (pa.date32(), "timestamp[s]", True),
        (pa.timestamp("us"), "date32[day]", True),
        (pa.timestamp("us", "UTC"), "date32[day]", False),
        (pa.timestamp("us", "UTC"), "timestamp[us]", False),
        (pa.timestamp("us"), "timestamp[us, tz=UTC]", True),
        (pa.timestamp("us"), "timestamp[us, tz=Europe/Berlin]", False),
        (pa.timestamp("s", "Asia/Tokyo"), "timestamp[us, tz=Europe/Berlin]", True),
        (pa.time64("us"), "timestamp[us]", False),
        (pa.int64(), "timestamp[us]", False),
        (pa.list_(pa.float64()), "list<float>[3]", True),
        (pa.large_list(pa.int8()), "list<double>[3]", True),
        (pa.list_(pa.float32(), 3), "list<double>[3]", True),
        (pa.list_view(pa.decimal128(9, 2)), "list<float>[3]", True),
        (pa.list_(pa.string()), "list<float>[3]", False),
        (pa.list_(pa.list_(pa.float32())), "list<float>[3]", False),
        (pa.float32(), "list<float>[3]", False),
        (pa.list_(pa.float32(), 3), "float", False),
        (pa.fixed_shape_tensor(pa.float32(), [3]), "list<float>[3]", True),
        (pa.binary(), "string", True),
        (pa.binary(4), "string", True),
        (pa.binary_view(), "string", True),
        (pa.dictionary(pa.int8(), pa.binary()), "string", True),
        (pa.dictionary(pa.int8(), pa.decimal128(5, 2)), "double", True),
        (pa.large_string(), "string", True),
        (pa.dictionary(pa.int32(), pa.string()), "string", True),
        (pa.dictionary(pa.int32(), pa.int64()), "string", False),
        (pa.int64(), "string", False),
        (pa.string(), "double", False),
        (pa.null(), "double", True),
    ],
)
def test_types_that_a_feature_can_be_read_from(found: pa.DataType, declared: str, safe: bool) -> None:
    assert is_readable(found, declared) is safe


def test_all_problems_of_an_object_are_reported_together() -> None:
    schema = pa.schema([("Hour", pa.int64()), ("text", pa.string()), ("solid", pa.int64())])
    features = (Feature("hour", "double"), Feature("text", "double"), Feature("solid", "int64", nullable=False))
    with pytest.raises(DataError) as raised:
        plan_columns("a.parquet", any_spec(*features, key_columns=("id",)), PREDICTION, schema, {"solid": 3})
    for part in (
        "object 'a.parquet' does not suit model 'model'",
        "key column 'id' is missing",
        "'hour' of type double is missing (it has 'Hour': names are case-sensitive)",
        "'text' is of type string, the record says double",
        "'solid' has 3 nulls",
    ):
        assert part in raised.value.text


def test_duplicate_column_name_is_refused() -> None:
    schema = pa.schema([("x", pa.float64()), ("x", pa.float64())])
    with pytest.raises(DataError, match="column 'x' appears more than once"):
        plan_columns("a.parquet", any_spec(Feature("x", "double")), PREDICTION, schema, {})


def test_key_only_output_may_reuse_the_name_of_a_dropped_column() -> None:
    schema = pa.schema([("prediction", pa.string()), ("id", pa.string()), ("x", pa.float64())])
    spec = any_spec(Feature("x", "double"), columns="keys", key_columns=("id",))
    plan = plan_columns("a.parquet", spec, PREDICTION, schema, {})
    assert plan.schema.names == ["id", "prediction"]
    assert plan.read == {"id", "x"}
    with pytest.raises(ConfigurationError, match="set output_columns"):
        plan_columns("a.parquet", any_spec(Feature("x", "double")), PREDICTION, schema, {})


@pytest.mark.parametrize("output_format", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize(
    ("fields", "clash"),
    [
        ({"output_columns": ("late",)}, False),
        ({"output_columns": ("late", "x")}, True),
        ({"output_columns": ("id",), "key_columns": ("id",)}, True),
        ({"output_columns": ("x",), "columns": "keys", "key_columns": ("id",)}, False),
        ({"output_columns": ("id",), "columns": "keys", "key_columns": ("id",)}, True),
        ({"output_columns": ("x",), "partition_columns": ("x",)}, True),
        ({"output_columns": ("x",), "partition_columns": ("x",), "key_columns": ("x",)}, True),
        ({}, True),
        ({"columns": "keys", "key_columns": ("id",)}, False),
        ({"columns": "keys", "key_columns": ("prediction",)}, True),
        ({"partition_columns": ("prediction",)}, True),
        ({"format": "xgboost-sklearn-json", "method": "predict_proba"}, False),
        ({"format": "xgboost-sklearn-json", "method": "predict_proba", "custom_code": True}, True),
        ({"method": "margin", "output_columns": ("margin",)}, False),
    ],
)
def test_registration_and_job_refuse_the_same_prediction_columns(
    fields: dict[str, Any], clash: bool, output_format: OutputFormat
) -> None:
    features = (Feature("x", "double"), Feature("prediction", "double"))
    spec = any_spec(*features, output_format=output_format, **fields)
    schema = pa.schema([("id", pa.string()), ("x", pa.float64()), ("prediction", pa.float64())])
    labels = [0, 1] if spec.method == "predict_proba" and not spec.custom_code else None
    outputs = output_fields(spec, [pa.float64()] * len(spec.output_columns or labels or [0]), labels)
    assert [problem.field for problem in spec.check_output_columns()] == ["output_columns"] * clash
    if clash:
        with pytest.raises(ConfigurationError, match="are also input columns"):
            plan_columns("a.parquet", spec, outputs, schema, {})
    else:
        plan_columns("a.parquet", spec, outputs, schema, {})


@pytest.mark.parametrize(
    ("fields", "clashing"),
    [
        ({"output_columns": ("late",)}, []),
        ({"output_columns": ("note",)}, ["output_columns"]),
        ({"output_columns": ("note",), "columns": "keys", "key_columns": ("id",)}, []),
        ({"output_columns": ("late",), "row_number_column": "id"}, ["row_number_column"]),
        ({"output_columns": ("id",), "row_number_column": "note"}, ["output_columns", "row_number_column"]),
        ({"row_number_column": "row"}, ["output_columns"]),
    ],
)
def test_registration_also_knows_columns_from_csv_column_names(fields: dict[str, Any], clashing: list[str]) -> None:
    names = ("id", "x", "note", "prediction")
    options = InputOptions(csv_header=False, csv_columns=names)
    spec = any_spec(Feature("x", "double"), input=options, **fields)
    assert [problem.field for problem in spec.check_output_columns()] == clashing
    schema = pa.schema([(name, pa.float64() if name == "x" else pa.string()) for name in names])
    outputs = output_fields(spec, [pa.float64()], None)
    with pytest.raises(ConfigurationError, match="are also input columns") if clashing else nullcontext():
        plan_columns("a.csv", spec, outputs, schema, {})


def test_value_is_cast_to_the_declared_type_or_reported() -> None:
    feature = Feature("x", "float")
    cast = cast_to_declared(feature, pa.array([1, None, 2**24]), 0)
    assert (cast.array, cast.bad) == (pa.array([1, None, 2**24], pa.float32()), {})
    values = pa.array([2**24 + 1, 5, None, 7, -(2**40), 9])
    cast = cast_to_declared(feature, values, 2)
    bad = cast.bad
    assert cast.array == pa.array([None, 5, None, 7, None, 9], pa.float32())
    assert list(bad) == [0, 4]
    assert bad[4] == Reason(
        "feature column 'x' of type int64 has a value that float cannot hold: convert the column",
        "-1099511627776",
    )


@pytest.mark.parametrize("most", [0, 1, 3])
def test_search_for_bad_values_stops_after_the_limit(most: int) -> None:
    bad = cast_to_declared(Feature("x", "float"), pa.array([2**40] * 1_000), most).bad
    assert len(bad) == most + 1


def test_null_in_a_non_nullable_feature_is_reported() -> None:
    feature = Feature("x", "double", nullable=False)
    bad = cast_to_declared(feature, pa.array([1.0, None]), 0).bad
    assert list(bad) == [1]
    assert "feature column 'x' is null, the record says that it has no nulls" in bad[1].text


def test_tolerated_nulls_are_problems_of_their_rows() -> None:
    schema = pa.schema([("x", pa.float64())])
    feature = Feature("x", "double", nullable=False)
    with pytest.raises(DataError, match="has 3 nulls"):
        plan_columns("a.parquet", any_spec(feature), PREDICTION, schema, {"x": 3})
    tolerant = any_spec(feature, tolerated_quarantine_fraction=0.1)
    assert plan_columns("a.parquet", tolerant, PREDICTION, schema, {"x": 3}).kept == ("x",)


def test_row_number_column_follows_predictions_and_must_be_unique() -> None:
    schema = pa.schema([("x", pa.float64()), ("y", pa.float64())])
    spec = any_spec(Feature("x", "double"), row_number_column="row")
    assert plan_columns("a.parquet", spec, PREDICTION, schema, {}).schema.names == ["x", "y", "prediction", "row"]
    for name, expected in (("y", "also input columns"), ("prediction", "is a prediction column's name")):
        with pytest.raises(ConfigurationError, match=expected):
            plan_columns("a.parquet", any_spec(Feature("x", "double"), row_number_column=name), PREDICTION, schema, {})


def test_pandas_metadata_describes_the_output_columns() -> None:
    frame = pd.DataFrame({"x": [1.0], "y": [2]}, index=pd.Index(["a"], name="id"))
    metadata = pa.Schema.from_pandas(frame).metadata
    described = json.loads(extended_metadata(metadata, ("y",), PREDICTION)[b"pandas"])
    assert [column["name"] for column in described["columns"]] == ["y", "prediction"]
    assert described["index_columns"] == []
    assert extended_metadata({b"pandas": b"not JSON", b"other": b"1"}, ("y",), PREDICTION) == {b"other": b"1"}


def test_only_a_nullable_feature_may_be_absent_beside_others() -> None:
    schema = pa.schema([("id", pa.string()), ("x", pa.float64()), ("opt", pa.float64()), ("other", pa.float64())])
    absent = frozenset({"opt", "other"})
    spec = any_spec(Feature("x", "double"), Feature("opt", "double"))
    plan = plan_columns("a.jsonl", spec, (), schema, {}, absent=absent)
    # A feature of another model of the job is no column of this model's output.
    assert plan.kept == ("id", "x", "opt")
    required = any_spec(Feature("x", "double"), Feature("opt", "double", nullable=False))
    with pytest.raises(DataError, match="feature column 'opt' of type double is missing"):
        plan_columns("a.jsonl", required, (), schema, {}, absent=absent)
    with pytest.raises(DataError, match="'opt' of type double is missing"):
        plan_columns("a.jsonl", any_spec(Feature("opt", "double")), (), schema, {}, absent=absent)


RESERVED = ["dataset", "Execution_ID", "job_id", "MODEL_ID"]


@pytest.mark.parametrize("name", RESERVED)
def test_a_kept_column_named_like_a_folder_of_the_output_is_refused(name: str) -> None:
    schema = pa.schema([("id", pa.int64()), ("x", pa.float64()), (name, pa.string())])
    with pytest.raises(DataError) as refused:
        plan_columns("a.csv", any_spec(Feature("x", "double")), PREDICTION, schema, {})
    assert refused.value.text == (
        f"object 'a.csv', model 'model': the output would keep the columns ['{name}'], which are also folders in its "
        "key (dataset=…/, execution_id=…/, job_id=…/, model_id=…/): rename them, or set columns to 'keys' in the "
        "model's record"
    )
    keys_only = any_spec(Feature("x", "double"), Feature(name, "string"), columns="keys", key_columns=("id",))
    assert plan_columns("a.csv", keys_only, PREDICTION, schema, {}).schema.names == ["id", "prediction"]
    # Training reads the column and writes no output.
    assert plan_columns("a.csv", any_spec(Feature("x", "double")), (), schema, {}).added == ()


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("key_columns", {"key_columns": ("{}",), "columns": "keys"}),
        ("output_columns", {"output_columns": ("{}",)}),
        ("row_number_column", {"row_number_column": "{}"}),
        ("input.csv_columns", {"input": InputOptions(csv_header=False, csv_columns=("x", "{}"))}),
        ("partition_columns", {"partition_columns": ("{}",)}),
    ],
)
def test_registration_refuses_names_of_the_outputs_folders(name: str, field: str, fields: dict[str, Any]) -> None:
    def named(value: Any) -> Any:
        if isinstance(value, InputOptions):
            return replace(value, csv_columns=named(value.csv_columns))
        return value.format(name) if isinstance(value, str) else tuple(item.format(name) for item in value)

    spec = any_spec(Feature("x", "double"), **{key: named(value) for key, value in fields.items()})
    (problem,) = spec.check_output_columns()
    assert (problem.field, problem.value) == (field, [name])
    assert "no dataset, execution_id, job_id, model_id in any case" in str(problem)


def test_registration_refuses_a_feature_named_like_a_folder_only_when_it_is_kept() -> None:
    spec = any_spec(Feature("model_id", "double"), key_columns=("id",))
    (problem,) = spec.check_output_columns()
    assert (problem.field, problem.remedy) == ("features", "Rename it in the dataset, or set columns to 'keys'.")
    assert replace(spec, columns="keys").check_output_columns() == []


@pytest.mark.parametrize("fields", [{"output_columns": ("Month",)}, {"row_number_column": "month"}])
def test_an_added_column_named_like_a_partition_of_the_dataset_is_refused(fields: dict[str, Any]) -> None:
    spec = any_spec(Feature("x", "double"), partition_columns=("month",), **fields)
    assert [problem.field for problem in spec.check_output_columns()] == [*fields]
    schema = pa.schema([pa.field("x", pa.float64()), field_from_key("month", pa.string())])
    with pytest.raises(ConfigurationError, match="have the names of folders in the output's key"):
        plan_columns("month=1/a.csv", spec, output_fields(spec, [pa.float64()], None), schema, {})


def test_a_column_of_the_key_is_kept_when_the_file_has_it_too() -> None:
    spec = any_spec(Feature("x", "double"), Feature("month", "int32"), partition_columns=("month",))
    both = pa.schema([("month", pa.int64()), ("x", pa.float64())])
    features = replace(spec, features=(Feature("x", "double"), Feature("month", "int64")))
    assert plan_columns("month=1/a.parquet", features, PREDICTION, both, {}).kept == ("month", "x")
    key_only = pa.schema([pa.field("x", pa.float64()), field_from_key("month", pa.int32())])
    assert plan_columns("month=1/a.parquet", spec, PREDICTION, key_only, {}).kept == ("x",)
    plan = plan_columns("month=1/a.parquet", replace(spec, key_columns=("month",)), PREDICTION, key_only, {})
    assert plan.schema.field("month") == pa.field("month", pa.int32())
    assert plan.schema.field("month").metadata is None
