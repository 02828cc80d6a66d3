"""What counts as missing: in XGBoost the record's `missing`, in other libraries what the file says."""

from pathlib import Path
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from scipy.sparse import csr_matrix

from contract.catalog.model_spec import assumptions
from contract.problems import InvalidInputError
from scoring.models import load_model
from tests.unit.scoring.models.loading import NAMES, columns_of, matrix_of, spec_of


def frame_with(value: float, rows: int = 300) -> pd.DataFrame:
    """Return random numbers, a third of them replaced by a value."""
    generator = np.random.default_rng(5)
    frame = pd.DataFrame(generator.normal(size=(rows, 3)), columns=list(NAMES))
    return frame.mask(generator.random(frame.shape) < 0.3, value)


def target_of(frame: pd.DataFrame, value: float) -> Any:
    return (frame["distance"].where(frame["distance"] != value, 1) + frame["delay"] > 0).astype(int)


@pytest.mark.parametrize(
    ("booster", "value"), [("gbtree", -999.0), ("gbtree", -999.9), ("gbtree", 0.0), ("gblinear", -9.0), ("dart", -9.0)]
)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "margin"])
@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_wrapper_models_take_the_records_number_as_missing(
    method: str, booster: str, value: float, ending: str, tmp_path: Path
) -> None:
    frame = frame_with(value)
    model = xgboost.XGBClassifier(missing=value, n_estimators=5, booster=booster)
    model.fit(frame, target_of(frame, value))
    model.save_model(tmp_path / f"model.{ending}")
    spec = spec_of(f"xgboost-sklearn-{ending}", method, missing=value)

    found = matrix_of(spec, load_model(spec, tmp_path / f"model.{ending}"), frame)

    expected = model.predict_proba(frame) if method == "predict_proba" else model.predict(frame)
    if method == "margin":
        expected = model.predict(frame, output_margin=True)
    np.testing.assert_array_equal(found, expected.reshape(len(frame), -1))
    if method == "margin":
        unaware = spec_of(f"xgboost-sklearn-{ending}", method)
        assert (matrix_of(unaware, load_model(unaware, tmp_path / f"model.{ending}"), frame) != found).any()


@pytest.mark.parametrize("method", ["predict", "margin"])
def test_boosters_take_the_records_number_as_missing(method: str, tmp_path: Path) -> None:
    frame = frame_with(-1.0)
    data = xgboost.DMatrix(frame, label=target_of(frame, -1.0), missing=-1.0)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3}, data, 5)
    booster.save_model(tmp_path / "model.ubj")
    spec = spec_of("xgboost-ubj", method, missing=-1.0)

    found = matrix_of(spec, load_model(spec, tmp_path / "model.ubj"), frame)

    np.testing.assert_array_equal(found[:, 0], booster.predict(data, output_margin=method == "margin"))


def test_nulls_stay_missing_besides_the_records_number(tmp_path: Path) -> None:
    frame = frame_with(-999.0)
    model = xgboost.XGBRegressor(missing=-999.0, n_estimators=5).fit(frame, frame["hour"])
    model.save_model(tmp_path / "model.json")
    spec = spec_of("xgboost-sklearn-json", missing=-999.0)
    loaded = load_model(spec, tmp_path / "model.json")

    found = columns_of(spec, loaded, frame.replace(-999.0, np.nan))["prediction"]

    np.testing.assert_array_equal(found, model.predict(frame))


def test_zero_is_missing_in_models_of_sparse_matrices(tmp_path: Path) -> None:
    """In a sparse matrix XGBoost takes the absent values as missing."""
    frame = frame_with(0.0)
    model = xgboost.XGBRegressor(n_estimators=10).fit(csr_matrix(frame.to_numpy()), frame["hour"])
    model.save_model(tmp_path / "model.json")
    spec = spec_of("xgboost-sklearn-json", missing=0)

    found = columns_of(spec, load_model(spec, tmp_path / "model.json"), frame)["prediction"]

    np.testing.assert_array_equal(found, model.predict(csr_matrix(frame.to_numpy())))
    assert (found != model.predict(frame.to_numpy())).any()


def test_accelerated_trees_take_the_records_number_as_missing(tmp_path: Path) -> None:
    pytest.importorskip("daal4py")
    frame = frame_with(-999.0)
    model = xgboost.XGBClassifier(missing=-999.0, n_estimators=5, max_depth=3)
    model.fit(frame, target_of(frame, -999.0))
    model.save_model(tmp_path / "model.json")
    spec = spec_of("xgboost-sklearn-json", "predict_proba", missing=-999.0, accelerator="daal4py")

    found = matrix_of(spec, load_model(spec, tmp_path / "model.json"), frame)

    np.testing.assert_allclose(found, model.predict_proba(frame), atol=1e-5)


def test_pickled_wrappers_keep_their_own_number(tmp_path: Path) -> None:
    frame = frame_with(-999.0)
    model = xgboost.XGBClassifier(missing=-999.0, n_estimators=5, max_depth=3)
    model.fit(frame, target_of(frame, -999.0))
    joblib.dump(model, tmp_path / "model.joblib")
    spec = spec_of("sklearn-joblib", "predict_proba")

    found = matrix_of(spec, load_model(spec, tmp_path / "model.joblib"), frame)

    np.testing.assert_array_equal(found, model.predict_proba(frame))


@pytest.mark.parametrize("settings", [{}, {"zero_as_missing": True}, {"use_missing": False}])
def test_lightgbm_files_say_what_is_missing(settings: dict[str, bool], tmp_path: Path) -> None:
    frame = frame_with(0.0).mask(frame_with(7.0) == 7.0)
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1, **settings).fit(frame, frame["hour"].fillna(3))
    model.booster_.save_model(tmp_path / "model.txt")
    spec = spec_of("lightgbm-text")

    found = columns_of(spec, load_model(spec, tmp_path / "model.txt"), frame)["prediction"]

    np.testing.assert_array_equal(found, model.predict(frame))


@pytest.mark.parametrize("mode", ["Min", "Max"])
def test_catboost_files_say_where_missing_values_go(mode: str, tmp_path: Path) -> None:
    frame = frame_with(np.nan)
    model = catboost.CatBoostRegressor(iterations=5, verbose=0, nan_mode=mode, allow_writing_files=False)
    model.fit(frame, frame["hour"].fillna(3))
    model.save_model(str(tmp_path / "model.cbm"))
    spec = spec_of("catboost-cbm")

    found = columns_of(spec, load_model(spec, tmp_path / "model.cbm"), frame)["prediction"]

    np.testing.assert_array_equal(found, model.predict(frame))


@pytest.mark.parametrize("declared", ["sklearn-joblib", "lightgbm-text", "catboost-cbm", "onnx", "keras"])
def test_other_formats_refuse_the_field_by_name(declared: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"missing.*none for format '{declared}'; it is for xgboost"):
        spec_of(declared, missing=-1.0)


def test_custom_code_refuses_the_field_that_it_would_not_get() -> None:
    with pytest.raises(InvalidInputError, match="none for a model with custom_code"):
        spec_of("xgboost-json", missing=-1.0, custom_code=True)


def test_a_record_without_the_field_is_told_what_is_assumed() -> None:
    assert "only nulls and NaN" in assumptions(spec_of("xgboost-json"))[0]
    assert not assumptions(spec_of("xgboost-json", missing=0))
    assert not assumptions(spec_of("lightgbm-text"))
