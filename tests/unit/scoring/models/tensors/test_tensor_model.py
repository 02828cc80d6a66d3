"""Inputs and outputs of tensor models, with NumPy instead of the real libraries."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.errors import ConfigurationError, ModelError
from scoring.models import load_model, preload
from scoring.models.tensors.tensor_model import Inputs, TensorInput, TensorModel
from tests.unit.scoring.models.test_loaders import spec_of

F32, F64, I64 = np.dtype("float32"), np.dtype("float64"), np.dtype("int64")
TEXT = np.dtype(object)
MATRIX = TensorInput("x", (None, 3), F32)


def record(*features: Feature) -> ModelSpec:
    return spec_of("torchscript", framework="pytorch", **({"features": features} if features else {}))


def batch(**columns: Any) -> FeatureBatch:
    return FeatureBatch(tuple(columns), tuple(map(pa.array, columns.values())), frozenset())


def test_a_matrix_input_gets_features_in_the_records_order() -> None:
    found = Inputs(record(), [MATRIX]).convert(batch(distance=[1, 2], delay=[3.5, None], hour=[True, False]))
    assert isinstance(found, np.ndarray)
    assert found.dtype == F32
    np.testing.assert_array_equal(found, np.array([[1, 3.5, 1], [2, np.nan, 0]], F32))


def test_a_matrix_of_whole_numbers_is_converted_without_loss() -> None:
    inputs = Inputs(record(), [TensorInput("x", (None, 3), I64)])
    found = inputs.convert(batch(distance=[2**60 + 1], delay=[2.0], hour=[3]))
    np.testing.assert_array_equal(found, [[2**60 + 1, 2, 3]])
    with pytest.raises(pa.ArrowInvalid, match="truncated"):
        inputs.convert(batch(distance=[1], delay=[2.5], hour=[3]))
    with pytest.raises(ModelError, match="has 1 nulls in feature 'delay', and the model takes int64"):
        inputs.convert(batch(distance=[1], delay=pa.array([None], pa.int64()), hour=[3]))


def test_one_input_per_feature_is_filled_by_name_and_shape() -> None:
    spec = record(Feature("a", "int64"), Feature("b", "string"), Feature("c", "bool"))
    inputs = [
        TensorInput("c", (None,), np.dtype(bool)),
        TensorInput("b", (None, 1), TEXT),
        TensorInput("a", (None, None), F64),
    ]
    found = Inputs(spec, inputs).convert(batch(a=[1, None], b=["x", "y"], c=[True, False]))
    assert isinstance(found, dict)
    assert {name: array.shape for name, array in found.items()} == {"a": (2, 1), "b": (2, 1), "c": (2,)}
    np.testing.assert_array_equal(found["a"], [[1.0], [np.nan]])
    assert found["b"].tolist() == [["x"], ["y"]]
    assert found["c"].tolist() == [True, False]


EMBEDDING = pa.array([[1, 2], None, [5, 6]], pa.list_(pa.float32(), 2))


def test_lists_are_columns_of_a_matrix_or_a_tensor_of_their_own() -> None:
    spec = record(Feature("a", "double"), Feature("e", "list<float>[2]"))
    rows = batch(a=[9.0, 8.0, 7.0], e=EMBEDDING)
    expected = np.array([[9, 1, 2], [8, np.nan, np.nan], [7, 5, 6]], F32)
    matrix = Inputs(spec, [TensorInput("x", (None, 3), F32)])
    np.testing.assert_array_equal(matrix.convert(rows), expected)
    np.testing.assert_array_equal(matrix.convert(rows.slice(1, 2)), expected[1:])
    assert matrix.trial_rows(4).shape == (4, 3)  # type: ignore[union-attr]
    assert np.isnan(matrix.null_row()).all()  # type: ignore[arg-type]
    columns = Inputs(spec, [TensorInput("e", (None, 2), F32), TensorInput("a", (None,), F64)])
    found = columns.convert(rows)
    assert isinstance(found, dict)
    np.testing.assert_array_equal(found["e"], expected[:, 1:])
    assert {name: rows.shape for name, rows in columns.trial_rows(4).items()} == {"e": (4, 2), "a": (4,)}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([TensorInput("x", (None, 2), F32)], r"has 2 features with 3 values \('a': 1, 'e': 2\)"),
        ([TensorInput("a", (None,), F32), TensorInput("e", (None, 3), F32)], "with 3 values"),
        ([TensorInput("x", (None, 3), I64)], "'e' as list<float>.2.: export the model with floating-point numbers"),
        ([TensorInput("a", (None,), F32), TensorInput("e", (None, 2), I64)], "export the model with floating-point"),
    ],
)
def test_lists_need_a_tensor_of_their_length(inputs: list[TensorInput], expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        Inputs(record(Feature("a", "double"), Feature("e", "list<float>[2]")), inputs)


def test_times_are_numbers_and_a_matrix_notes_their_precision() -> None:
    spec = record(Feature("d", "date32[day]"), Feature("t", "timestamp[ns]"))
    rows = batch(d=pa.array([3], pa.date32()), t=pa.array([1_782_900_000_000_000_001], pa.timestamp("ns")))
    columns = Inputs(spec, [TensorInput("d", (None,), I64), TensorInput("t", (None, 1), I64)])
    found = columns.convert(rows)
    assert isinstance(found, dict)
    assert (found["d"].tolist(), found["t"].tolist()) == ([3], [[1_782_900_000_000_000_001]])
    assert columns.time_notes() == ()
    for dtype, apart in ((F32, "two minutes"), (F64, "256 nanoseconds")):
        [note] = Inputs(spec, [TensorInput("x", (None, 2), dtype)]).time_notes()
        assert note.startswith(f"reads the times ['t'] as {dtype} numbers")
        assert f"less than about {apart} apart" in note


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([TensorInput("x", (None, 4), F32)], r"takes x: float32\[any, 4\], its record has 3 features"),
        ([TensorInput("x", (8, 3), F32)], "takes exactly 8 rows"),
        ([TensorInput("x", (None, 3, 1), F32)], r"takes x: float32\[any, 3, 1\]"),
        ([TensorInput("a", (None,), F32), TensorInput("b", (None,), F32)], r"takes a: float32\[any\], b: float32"),
        ([], "takes nothing"),
    ],
)
def test_a_signature_that_contradicts_the_record_is_refused(inputs: list[TensorInput], expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        Inputs(record(), inputs)


def test_text_and_numbers_are_not_interchangeable() -> None:
    with pytest.raises(ModelError, match=r"declares \['b'\] as string: encode text"):
        Inputs(record(Feature("a", "double"), Feature("b", "string")), [TensorInput("x", (None, 2), F32)])
    with pytest.raises(ModelError, match=r"its input is a: text.* declares 'a' as double"):
        Inputs(record(Feature("a", "double"), Feature("b", "string")), [
            TensorInput("a", (None,), TEXT), TensorInput("b", (None,), TEXT)])  # fmt: skip


def model_of(call: Callable[[Any], Any]) -> TensorModel:
    def run(rows: Any) -> Mapping[str, Any]:
        found = call(rows)
        return found if isinstance(found, dict) else {"": found}

    return TensorModel(record(), Inputs(record(), [MATRIX]), run, concurrent=True)


def test_outputs_become_columns_by_their_shape() -> None:
    def columns(call: Callable[[Any], Any]) -> dict[str, str]:
        return {field.name: str(field.type) for field in model_of(call).outputs}

    assert columns(lambda rows: rows.sum(1)) == {"prediction": "double"}
    assert columns(lambda rows: rows[:, :1].astype("float64")) == {"prediction": "double"}
    assert columns(lambda rows: rows[:, :2]) == {"prediction_0": "double", "prediction_1": "double"}
    assert columns(lambda rows: {"p": rows[:, :2], "label": rows.argmax(1)}) == {
        "prediction_p_0": "double",
        "prediction_p_1": "double",
        "prediction_label": "double",
    }
    assert columns(lambda rows: np.full(len(rows), "late", object)) == {"prediction": "string"}


def test_an_output_without_one_entry_per_row_is_refused() -> None:
    with pytest.raises(ModelError, match=r"shape \[4, 3, 1\] for 4 rows"):
        model_of(lambda rows: rows[:, :, None])
    with pytest.raises(ModelError, match=r"returns both text and numbers \(\['a', 'b'\]\)"):
        model_of(lambda rows: {"a": rows[:, 0], "b": np.full(len(rows), "x", object)})


def test_random_or_batch_dependent_models_are_refused() -> None:
    random = np.random.default_rng(1)
    with pytest.raises(ModelError, match="differs from call to call for the same rows"):
        model_of(lambda rows: random.random(len(rows)))
    with pytest.raises(ModelError, match="depends on other rows of the batch"):
        model_of(lambda rows: rows[:, 0] - rows[:, 0].mean())


def test_a_model_that_predicts_numbers_for_nulls_is_noted() -> None:
    def rectified(rows: Any) -> Any:
        return np.nan_to_num(rows).sum(axis=1)

    assert [note for note in model_of(rectified).notes if "null (NaN)" in note]
    assert model_of(lambda rows: rows.sum(axis=1)).notes == ()


def test_a_model_that_fails_on_a_single_row_is_refused_on_load() -> None:
    def fails(rows: Any) -> Any:
        if len(rows) == 1:
            raise ValueError("expected more than 1 value")
        return rows[:, 0]

    with pytest.raises(ModelError, match=r"failed on a trial of 1 to 4 rows .*ValueError: expected more than 1 value"):
        model_of(fails)


@pytest.mark.parametrize(
    ("declared", "library", "image"),
    [("torchscript", "torch", "pytorch"), ("keras", "tensorflow", "tensorflow")],
)
def test_a_missing_library_is_named_with_an_image_that_has_it(
    declared: Any, library: str, image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    expected = f"format {declared!r} needs {library}, which is not installed here: it is in the image {image!r}"
    with pytest.raises(ConfigurationError, match=expected):
        preload([declared])
    with pytest.raises(ConfigurationError, match="setting image_variants"):
        load_model(spec_of(declared, framework=image), tmp_path / "model")
