import numpy as np
import pyarrow as pa

from scoring.columns.features import FeatureBatch


def test_matrix_is_contiguous_with_nan_for_nulls_of_every_type() -> None:
    arrays = (
        pa.array([1.5, None, 3.5]),
        pa.array([1, None, 3], pa.int32()),
        pa.array([True, None, False]),
        pa.array([1.5, None, 2.5], pa.float32()),
        pa.array([0, 1, 2, 3], pa.uint8()).slice(1),
    )
    batch = FeatureBatch(("a", "b", "c", "d", "e"), arrays, frozenset("abcd"))
    nan = np.nan
    expected = [[1.5, 1, 1, 1.5, 1], [nan, nan, nan, nan, 2], [3.5, 3, 0, 2.5, 3]]
    for dtype in (np.float32, np.float64):
        matrix = batch.matrix(dtype)
        assert matrix.dtype == dtype
        assert matrix.flags.c_contiguous
        np.testing.assert_array_equal(matrix, np.array(expected, dtype))


def test_frame_dtypes_do_not_depend_on_the_batch() -> None:
    """pandas reads integers with nulls as floats, and booleans with nulls as objects."""
    arrays = (pa.array([1, 2], pa.int64()), pa.array([True, False]), pa.array(["a", "b"]), pa.array([1, 2], pa.int32()))
    frame = FeatureBatch(("whole", "flag", "text", "solid"), arrays, frozenset({"whole", "flag", "text"})).frame()
    assert [str(dtype) for dtype in frame.dtypes] == ["float64", "object", "str", "int32"]
