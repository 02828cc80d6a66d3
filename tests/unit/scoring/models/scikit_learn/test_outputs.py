"""Names of the prediction columns of models with several outputs, labels or targets."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from scoring.errors import ConfigurationError
from scoring.models import load_model
from tests.unit.scoring.models.loading import columns_of, spec_of

FRAME = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 2)), columns=["a", "b"])
BINARY = np.column_stack([FRAME["a"] > 0, FRAME["b"] > 0]).astype(int)
WORDS = pd.DataFrame({"size": np.where(FRAME["a"] > 0, "big", "small"), "kind": np.where(FRAME["b"] > 0, "x", "y")})
LOGISTIC = LogisticRegression()


def spec_for(method: str, **fields: Any) -> ModelSpec:
    return spec_of("sklearn-joblib", method, features=(Feature("a", "double"), Feature("b", "double")), **fields)


def columns(model: Any, method: str, folder: Path, **fields: Any) -> dict[str, Any]:
    joblib.dump(model, folder / "model.joblib")
    spec = spec_for(method, **fields)
    return columns_of(spec, load_model(spec, folder / "model.joblib"), FRAME)


NAMES: dict[str, tuple[Any, Any, str, list[str]]] = {
    "probabilities per output and class": (
        MultiOutputClassifier(LOGISTIC),
        BINARY,
        "predict_proba",
        ["0_0", "0_1", "1_0", "1_1"],
    ),
    "probabilities of words": (
        RandomForestClassifier(3),
        WORDS,
        "predict_proba",
        ["0_big", "0_small", "1_x", "1_y"],
    ),
    "probabilities per label": (OneVsRestClassifier(LOGISTIC), BINARY, "predict_proba", ["0", "1"]),
    "probabilities of a chain": (ClassifierChain(LOGISTIC), BINARY, "predict_proba", ["0", "1"]),
    "probabilities of a network": (MLPClassifier((4,), max_iter=5), BINARY, "predict_proba", ["0", "1"]),
    "probabilities of components": (GaussianMixture(3), None, "predict_proba", ["0", "1", "2"]),
    "labels": (OneVsRestClassifier(LOGISTIC), BINARY, "predict", ["0", "1"]),
    "labels of sparse targets": (OneVsRestClassifier(LOGISTIC), csr_matrix(BINARY), "predict", ["0", "1"]),
    "labels of a network": (MLPClassifier((4,), max_iter=5), BINARY, "predict", ["0", "1"]),
    "decisions per label": (OneVsRestClassifier(LOGISTIC), BINARY, "decision_function", ["0", "1"]),
    "decisions of a chain": (ClassifierChain(LOGISTIC), BINARY, "decision_function", ["0", "1"]),
    "decisions per pair": (
        SVC(decision_function_shape="ovo"),
        pd.cut(FRAME["a"], 4, labels=list("pqrs")).astype(str),
        "decision_function",
        ["0", "1", "2", "3", "4", "5"],
    ),
    "targets": (LinearRegression(), FRAME.to_numpy() * 2, "predict", ["0", "1"]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", NAMES)
def test_columns_are_named_by_output_and_class(case: str, tmp_path: Path) -> None:
    model, target, method, names = NAMES[case]
    model.fit(FRAME, target)

    found = columns(model, method, tmp_path)

    assert list(found) == [f"prediction_{name}" for name in names]
    expected = getattr(model, method)(FRAME)
    expected = np.hstack(expected) if isinstance(expected, list) else expected
    expected = expected.toarray() if hasattr(expected, "toarray") else expected
    np.testing.assert_array_equal(np.column_stack(list(found.values())), expected)
    renamed = columns(model, method, tmp_path, output_columns=tuple(f"p{i}" for i in range(len(names))))
    assert list(renamed) == [f"p{i}" for i in range(len(names))]
    with pytest.raises(ConfigurationError, match=f"{method} gives {len(names)}: name them all or none"):
        columns(model, method, tmp_path, output_columns=("one",))


def test_labels_of_several_outputs_are_those_of_training(tmp_path: Path) -> None:
    model = RandomForestClassifier(3).fit(FRAME, WORDS)
    found = columns(model, "predict", tmp_path)
    assert list(found) == ["prediction_0", "prediction_1"]
    np.testing.assert_array_equal(np.column_stack(list(found.values())), model.predict(FRAME))


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_refuses_a_made_up_row_tells_its_outputs_otherwise(tmp_path: Path) -> None:
    """The encoder knows no empty text."""
    frame = pd.DataFrame({"a": ["x", "y"] * 30})
    encoded = make_pipeline(OneHotEncoder(handle_unknown="error"), MultiOutputClassifier(LOGISTIC)).fit(frame, BINARY)
    joblib.dump(encoded, tmp_path / "model.joblib")
    spec = spec_of("sklearn-joblib", "predict_proba", features=(Feature("a", "string"),))
    loaded = load_model(spec, tmp_path / "model.joblib")
    assert [field.name for field in loaded.outputs] == [f"prediction_{name}" for name in ("0_0", "0_1", "1_0", "1_1")]
    assert {field.type for field in loaded.outputs} == {pa.float64()}
