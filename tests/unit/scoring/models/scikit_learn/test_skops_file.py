"""skops files predict as the estimator, and construct only trusted types."""

import operator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from contract.catalog.model_fields import Feature
from contract.problems import InvalidInputError
from scoring.errors import ModelError
from scoring.models import load_model
from tests.unit.scoring.models.loading import columns_of, matrix_of, spec_of

MIXED = (Feature("distance", "double"), Feature("delay", "double"), Feature("carrier", "string"))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_a_pipeline_predicts_as_scikit_learn(method: str, training: pd.DataFrame, tmp_path: Path) -> None:
    frame = training[["distance", "delay", "carrier"]]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["distance", "delay"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(frame, training["late"])
    skops.io.dump(model, tmp_path / "model.skops")
    spec = spec_of("sklearn-skops", method, features=MIXED)

    found = columns_of(spec, load_model(spec, tmp_path / "model.skops"), frame)

    expected = getattr(model, method)(frame).reshape(len(frame), -1)
    np.testing.assert_array_equal(np.column_stack(list(found.values())), expected)


def test_untrusted_types_are_refused_unless_the_record_names_them(
    numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    model = make_pipeline(FunctionTransformer(operator.neg), HistGradientBoostingClassifier(max_iter=2))
    model.fit(numbers, classes)
    skops.io.dump(model, tmp_path / "model.skops")
    untrusted = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
    assert untrusted

    with pytest.raises(ModelError) as refused:
        load_model(spec_of("sklearn-skops", "predict_proba"), tmp_path / "model.skops")
    assert all(repr(name) in str(refused.value) for name in untrusted)
    assert "name them in trusted_types" in str(refused.value)

    spec = spec_of("sklearn-skops", "predict_proba", trusted_types=tuple(untrusted))
    np.testing.assert_array_equal(
        matrix_of(spec, load_model(spec, tmp_path / "model.skops"), numbers), model.predict_proba(numbers)
    )


def test_only_the_skops_format_has_trusted_types() -> None:
    with pytest.raises(InvalidInputError, match="trusted_types"):
        spec_of("sklearn-joblib", trusted_types=("a.b",))


def test_a_pickle_named_skops_is_not_unpickled(tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(b"\x80\x04cos\nsystem\n(S'touch " + bytes(tmp_path / "ran") + b"'\ntR.")
    with pytest.raises(ModelError, match="cannot be loaded as sklearn-skops"):
        load_model(spec_of("sklearn-skops"), tmp_path / "model.skops")
    assert not (tmp_path / "ran").exists()


def test_a_record_that_contradicts_the_model_is_refused(
    numbers: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    model: Any = LogisticRegression().fit(numbers.fillna(0) / 1_000, classes)
    skops.io.dump(model, tmp_path / "model.skops")
    features = tuple(Feature(name, "double") for name in reversed(numbers.columns))
    with pytest.raises(ModelError, match="position 0 is 'hour' in the record"):
        load_model(spec_of("sklearn-skops", features=features), tmp_path / "model.skops")
