"""ONNX models predict as ONNX Runtime on the same graph, and as the converted model."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from contract.catalog.model_fields import Feature
from scoring.columns.features import FeatureBatch
from scoring.errors import ModelError
from scoring.models import load_model
from tests.unit.scoring.models.loading import ROWS, batch_of, columns_of, matrix_of, spec_of

FLOATS = tuple(Feature(name, "float") for name in ("distance", "delay", "hour"))
MIXED = (Feature("distance", "float"), Feature("delay", "float"), Feature("carrier", "string"))


def write(graph: Any, folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return folder / "model.onnx"


def outputs_of(file: Path, **inputs: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


@pytest.fixture
def filled(numbers: pd.DataFrame) -> pd.DataFrame:
    return (numbers.fillna(0) / 100).astype("float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_graph_with_one_output_gives_one_column(dtype: str, filled: pd.DataFrame, tmp_path: Path) -> None:
    frame = filled.astype(dtype)
    model = LinearRegression().fit(frame.to_numpy(), frame["hour"] * 2 + frame["delay"])
    file = write(to_onnx(model, frame.to_numpy()[:1]), tmp_path)
    kind = {"float32": "float", "float64": "double"}[dtype]
    spec = spec_of("onnx", features=tuple(Feature(name, kind) for name in frame.columns))

    found = columns_of(spec, load_model(spec, file), frame)

    assert list(found) == ["prediction"]
    assert found["prediction"].dtype == np.float64
    np.testing.assert_array_equal(found["prediction"], outputs_of(file, X=frame.to_numpy())[0][:, 0])
    np.testing.assert_allclose(found["prediction"], model.predict(frame.to_numpy()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("named", [True, False])
def test_embeddings_are_a_tensor_or_columns_of_the_matrix(named: bool, tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("ReduceSum", ["both" if named else "x"], ["sum"], keepdims=1, axes=[1])]
    inputs = [info("x", TensorProto.FLOAT, [None, 3])]
    if named:
        nodes.insert(0, helper.make_node("Concat", ["a", "e"], ["both"], axis=1))
        inputs = [info("e", TensorProto.FLOAT, [None, 2]), info("a", TensorProto.FLOAT, [None, 1])]
    graph = helper.make_graph(nodes, "sum", inputs, [info("sum", TensorProto.FLOAT, [None, 1])])
    file = write(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=9), tmp_path)
    spec = spec_of("onnx", features=(Feature("a", "double"), Feature("e", "list<float>[2]")))
    arrays = (pa.array([1.0, 2.0]), pa.array([[10, 20], [30, 40]], pa.list_(pa.float32(), 2)))
    found = load_model(spec, file).predict(FeatureBatch(("a", "e"), arrays, frozenset()))
    assert found.reshape(-1).tolist() == [31.0, 72.0]
    wrong = spec_of("onnx", features=(Feature("a", "double"), Feature("e", "list<float>[3]")))
    with pytest.raises(ModelError, match=r"it was trained on 3|cannot be run on a row"):
        load_model(wrong, file)


@pytest.mark.parametrize("zipmap", [True, False])
def test_classifiers_give_labels_and_probabilities(
    zipmap: bool, filled: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    """As tensors, and as the lists of dicts that converters produce by default."""
    words = np.array(["early", "noon", "night"])
    for target, label_type in ((classes.to_numpy(), "int64"), (words[classes], "object")):
        model = LogisticRegression().fit(filled.to_numpy(), target)
        file = write(to_onnx(model, filled.to_numpy()[:1], options={"zipmap": zipmap}), tmp_path)
        spec = spec_of("onnx", features=FLOATS)

        found = columns_of(spec, load_model(spec, file), filled)

        label, probability = ("output_label", "output_probability") if zipmap else ("label", "probabilities")
        label, probability = f"prediction_{label}", f"prediction_{probability}"
        names = model.classes_ if zipmap else range(3)
        assert list(found) == [label, *(f"{probability}_{name}" for name in names)]
        labels, given = outputs_of(file, X=filled.to_numpy())
        expected = np.array([[row[name] for name in names] for row in given]) if zipmap else given
        assert found[label].dtype == label_type
        np.testing.assert_array_equal(found[label], labels)
        np.testing.assert_array_equal(np.column_stack(list(found.values())[1:]), expected)
        np.testing.assert_array_equal(found[label], model.predict(filled.to_numpy()))


def test_a_graph_with_one_input_per_column_gets_them_by_name(
    training: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    """For numbers with missing values and for texts, in any order."""
    frame = training[["distance", "delay", "carrier"]].head(ROWS)
    frame = frame.assign(
        distance=frame["distance"].astype("float32"),
        delay=frame["delay"].astype("float32"),
        carrier=frame["carrier"].fillna("none").astype(object),
    )
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["distance", "delay"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(frame, classes)
    file = write(to_onnx(model, frame.head(1), options={"zipmap": False}), tmp_path)
    assert frame["delay"].isna().any()
    inputs = {name: frame[[name]].to_numpy() for name in frame.columns}
    expected = outputs_of(file, **inputs)

    for features in (MIXED, tuple(reversed(MIXED))):
        spec = spec_of("onnx", features=features)
        loaded = load_model(spec, file)
        found = columns_of(spec, loaded, frame[[feature.name for feature in features]])
        np.testing.assert_array_equal(found["prediction_label"], expected[0])
        np.testing.assert_array_equal(np.column_stack(list(found.values())[1:]), expected[1])
    np.testing.assert_array_equal(found["prediction_label"], model.predict(frame))

    rows = frame[["carrier", "delay", "distance"]].head(4).copy()
    rows.loc[2, "carrier"] = None
    with pytest.raises(ValueError, match="'carrier' has 1 nulls, and ONNX has no missing values for text"):
        loaded.predict(batch_of(rows))


def test_whole_numbers_reach_the_graph_exactly_or_are_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["id"], ["same"])],
        "identity",
        [helper.make_tensor_value_info("id", TensorProto.INT64, [None, 1])],
        [helper.make_tensor_value_info("same", TensorProto.INT64, [None, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=9)
    spec = spec_of("onnx", features=(Feature("id", "int64"),))
    loaded = load_model(spec, write(model, tmp_path))
    large = pd.DataFrame({"id": [2**53 + 1, -(2**62) - 1]})
    np.testing.assert_array_equal(matrix_of(spec, loaded, large)[:, 0], large["id"])
    missing = pd.DataFrame({"id": pd.array([1, None], dtype="Int64")})
    with pytest.raises(ValueError, match=r"'id' has 1 nulls, and the graph takes tensor\(int64\)"):
        loaded.predict(batch_of(missing))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (FLOATS[:2], "has 2 features, it was trained on 3"),
        ((*FLOATS[:2], Feature("hour", "string")), r"'hour' is string, the graph takes tensor\(float\)"),
    ],
)
def test_records_that_contradict_a_matrix_input_are_refused(
    features: tuple[Feature, ...], expected: str, filled: pd.DataFrame, tmp_path: Path
) -> None:
    model = LinearRegression().fit(filled.to_numpy(), filled["hour"])
    file = write(to_onnx(model, filled.to_numpy()[:1]), tmp_path)
    with pytest.raises(ModelError, match=expected):
        load_model(spec_of("onnx", features=features), file)


def test_records_that_contradict_named_inputs_are_refused(filled: pd.DataFrame, tmp_path: Path) -> None:
    model = make_pipeline(ColumnTransformer([("n", StandardScaler(), ["distance", "hour"])]), LinearRegression())
    model.fit(filled[["distance", "hour"]], filled["hour"])
    file = write(to_onnx(model, filled[["distance", "hour"]].head(1)), tmp_path)
    with pytest.raises(ModelError, match=r"the record has \['delay'\], which the model does not know"):
        load_model(spec_of("onnx", features=FLOATS), file)


def test_a_graph_too_new_for_the_runtime_is_refused(filled: pd.DataFrame, tmp_path: Path) -> None:
    graph = to_onnx(LinearRegression().fit(filled.to_numpy(), filled["hour"]), filled.to_numpy()[:1])
    model = onnx.load_model_from_string(graph.SerializeToString())
    model.ir_version = 99
    with pytest.raises(ModelError, match=r"cannot be loaded as onnx .*IR version: 99"):
        load_model(spec_of("onnx", features=FLOATS), write(model, tmp_path))


def test_concurrent_threads_get_equal_predictions(filled: pd.DataFrame, classes: pd.Series, tmp_path: Path) -> None:
    model = LogisticRegression().fit(filled.to_numpy(), classes)
    file = write(to_onnx(model, filled.to_numpy()[:1], options={"zipmap": False}), tmp_path)
    loaded = load_model(spec_of("onnx", features=FLOATS), file)
    assert loaded.concurrent
    expected = loaded.predict(batch_of(filled))
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.extend(loaded.predict(batch_of(filled)) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(np.array_equal(values, expected) for values in found)
