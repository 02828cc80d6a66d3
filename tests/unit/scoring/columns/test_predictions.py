from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from scoring.columns.predictions import complete_columns, prediction_columns
from scoring.errors import ModelError
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
