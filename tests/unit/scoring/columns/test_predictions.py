from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from scoring.columns.predictions import complete_columns, output_fields, prediction_columns
from scoring.errors import ConfigurationError, ModelError
from tests.unit.scoring.support.model_specs import any_spec

SPEC = any_spec(Feature("x", "double"))


def columns_of(values: Any, *types: pa.DataType, rows: int = 2) -> list[pa.Array]:
    fields = tuple(pa.field(f"p{index}", kind) for index, kind in enumerate(types))
    return complete_columns(SPEC, fields, values, rows, 100)


def columns_and_missing(values: Any, *types: pa.DataType, rows: int = 2) -> tuple[list[pa.Array], dict[int, str]]:
    fields = tuple(pa.field(f"p{index}", kind) for index, kind in enumerate(types))
    return prediction_columns(SPEC, fields, values, rows)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.array([1, 2], np.int32), pa.int64(), [1, 2]),
        (np.array([[1.5], [2.5]], np.float32), pa.float32(), [1.5, 2.5]),
        (np.array([1.5, np.inf]), pa.float64(), [1.5, float("inf")]),
        (np.array([True, False]), pa.bool_(), [True, False]),
        (np.array(["a", "ü"]), pa.string(), ["a", "ü"]),
        (np.array(["a", 1], dtype=object), pa.string(), ["a", "1"]),
        (np.array([1, 2], dtype=">i4"), pa.int64(), [1, 2]),
        ([1.0, 2.0], pa.float64(), [1.0, 2.0]),
    ],
)
def test_predictions_keep_their_values_in_the_declared_type(
    values: Any, kind: pa.DataType, expected: list[Any]
) -> None:
    (column,) = columns_of(values, kind)
    assert column.type == kind
    assert column.to_pylist() == expected


@pytest.mark.parametrize(
    ("own", "written"),
    [
        *[(kind, "double") for kind in (pa.float16(), pa.float32(), pa.float64())],
        *[(kind, "int64") for kind in (pa.int8(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64(), pa.bool_())],
        (pa.string(), "string"),
    ],
)
def test_each_kind_of_prediction_has_one_type_in_parquet(own: pa.DataType, written: str) -> None:
    (field,) = output_fields(SPEC, [own], None)
    assert str(field.type) == written
    (in_text,) = output_fields(replace(SPEC, output_format="csv"), [own], None)
    assert in_text.type == own


def test_predictions_keep_their_values_in_the_common_type() -> None:
    # Each float is a double too.
    floats = np.array([0.1, 1e-45, 3.4e38, np.inf], np.float32)
    (column,) = columns_of(floats, pa.float64(), rows=4)
    np.testing.assert_array_equal(column.to_numpy(), floats)
    (column,) = columns_of(np.array([True, False]), pa.int64())
    assert column.to_pylist() == [1, 0]
    with pytest.raises(ModelError, match="do not fit in column 'p0' of type int64"):
        columns_of(np.array([2**63, 1], np.uint64), pa.int64())


@pytest.mark.parametrize(
    ("declared", "expected"),
    [(("float",), ["float", "float"]), (("string", "bool"), ["string", "bool"]), ((), ["double", "double"])],
)
def test_the_record_decides_about_types(declared: tuple[str, ...], expected: list[str]) -> None:
    fields = output_fields(replace(SPEC, output_types=declared), [pa.float32()] * 2, ["a", "b"])
    assert [str(field.type) for field in fields] == expected


def test_numbers_become_texts_if_the_record_says_so() -> None:
    (field,) = output_fields(replace(SPEC, output_types=("string",)), [pa.int64()], None)
    (column,), missing = prediction_columns(SPEC, (field,), np.array([3, 40]), 2)
    assert (column.to_pylist(), missing) == (["3", "40"], {})


def test_a_record_with_another_number_of_types_is_refused() -> None:
    spec = replace(SPEC, output_types=("float", "float", "float"))
    with pytest.raises(ConfigurationError, match=r"output_types has 3 types .* gives 2 columns: give one type per"):
        output_fields(spec, [pa.float32()] * 2, ["a", "b"])


def test_prediction_matrix_becomes_one_column_per_field() -> None:
    first, second = columns_of(np.array([[1.0, 2.0], [3.0, 4.0]]), pa.float64(), pa.float64())
    assert (first.to_pylist(), second.to_pylist()) == ([1.0, 3.0], [2.0, 4.0])


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.array([1.0]), pa.float64(), "of shape 1 for 2 rows, expected 2 x 1"),
        (np.ones((2, 2)), pa.float64(), "of shape 2 x 2 for 2 rows"),
        ([[1.0], [1.0, 2.0]], pa.float64(), "uneven shape"),
        (np.array([1.5, 2.0]), pa.int64(), "dtype float64 that do not fit in column 'p0' of type int64"),
        (np.array(["a", "b"]), pa.float64(), "do not fit in column 'p0' of type double"),
    ],
)
def test_predictions_of_wrong_shape_or_type_are_refused(values: Any, kind: pa.DataType, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        columns_of(values, kind)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.array([1.0, np.nan]), pa.float64(), "gave no prediction (NaN) in column 'p0'"),
        (np.array([1.0, np.nan]), pa.int64(), "gave no prediction (NaN) in column 'p0'"),
        (np.array(["a", None], dtype=object), pa.string(), "gave no prediction (None) in column 'p0'"),
        (np.array(["a", float("nan")], dtype=object), pa.string(), "gave no prediction (None) in column 'p0'"),
        (np.array([1.0, float("nan")], dtype=object), pa.float64(), "gave no prediction (None) in column 'p0'"),
    ],
)
def test_each_row_without_a_prediction_is_reported(values: Any, kind: pa.DataType, expected: str) -> None:
    columns, missing = columns_and_missing(values, kind)
    assert missing == {1: expected}
    assert columns[0].type == kind
    with pytest.raises(ModelError, match=r"gave no prediction .* for row 101"):
        columns_of(values, kind)
    assert columns[0][0].as_py() == values[0]
