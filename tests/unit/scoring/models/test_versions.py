"""Models of another framework version are refused if unreadable, else noted."""

import pickle
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import xgboost
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contract.catalog.model_fields import Feature
from scoring.errors import ModelError
from scoring.models import load_model
from tests.unit.scoring.models.loading import NAMES, matrix_of, spec_of
from tests.unit.scoring.support.job_folder import JobFolder

OURS = ".".join(sklearn.__version__.split(".")[:2])


def saved_by(version: str, model: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Save a model as if another version of scikit-learn had written it."""
    with monkeypatch.context() as patched:
        patched.setattr("sklearn.base.__version__", version)
        joblib.dump(model, path)
    return path


@pytest.fixture
def model(numbers: pd.DataFrame) -> Any:
    return make_pipeline(StandardScaler(), LinearRegression()).fit(numbers.fillna(0), numbers["hour"])


def test_a_model_of_the_installed_version_has_no_notes(model: Any, tmp_path: Path) -> None:
    joblib.dump(model, tmp_path / "model")
    for pinned in ("", sklearn.__version__, OURS, f"{OURS}-1"):
        assert load_model(spec_of("sklearn-joblib", framework_version=pinned), tmp_path / "model").notes == ()


def test_warnings_of_scikit_learn_become_notes(
    model: Any,
    numbers: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = saved_by("1.0.2", model, tmp_path / "model", monkeypatch)
    spec = spec_of("sklearn-joblib", framework_version="1.0.2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_model(spec, file)
    assert len(loaded.notes) == 3, "one per class of the pipeline, and none from the record"
    for note, name in zip(loaded.notes, ("StandardScaler", "LinearRegression", "Pipeline"), strict=True):
        assert re.match(rf"InconsistentVersionWarning: .*{name} from version 1\.0\.2 .*{sklearn.__version__}", note)
    assert "InconsistentVersionWarning" in capfd.readouterr().err
    np.testing.assert_array_equal(matrix_of(spec, loaded, numbers.fillna(0))[:, 0], model.predict(numbers.fillna(0)))


def test_a_pinned_version_unknown_to_the_file_is_noted(model: Any, tmp_path: Path) -> None:
    joblib.dump(model, tmp_path / "model")
    [note] = load_model(spec_of("sklearn-joblib", framework_version="1.0.2"), tmp_path / "model").notes
    assert note == f"trained with scikit-learn 1.0.2, scored with {sklearn.__version__}"
    [note] = load_model(spec_of("sklearn-joblib", framework_version="the new one"), tmp_path / "model").notes
    assert note.startswith("framework_version 'the new one' is not a version number")


@pytest.mark.parametrize("pinned", ["0.24.2", "0.23-1", "2.0", "17.1"])
def test_another_major_version_of_scikit_learn_is_refused(pinned: str, model: Any, tmp_path: Path) -> None:
    joblib.dump(model, tmp_path / "model")
    expected = f"scikit-learn {re.escape(pinned)}, this image has {re.escape(sklearn.__version__)}"
    with pytest.raises(ModelError, match=expected):
        load_model(spec_of("sklearn-joblib", framework_version=pinned), tmp_path / "model")


def test_an_unreadable_model_is_refused_with_both_versions(tmp_path: Path) -> None:
    """A class that a later version has moved, the usual problem of old pickles."""
    (tmp_path / "model").write_bytes(b"\x80\x04csklearn.linear_model.logistic\nLogisticRegression\n.")
    with pytest.raises(ModelError) as refused:
        load_model(spec_of("sklearn-joblib", framework_version="1.1"), tmp_path / "model")
    assert "No module named 'sklearn.linear_model.logistic'" in str(refused.value)
    assert f"(the record says sklearn 1.1, the image has {sklearn.__version__})" in str(refused.value)


@pytest.mark.parametrize(("pinned", "refused"), [("1.7-1", False), ("99.0", True), ("3.99.0", None)])
def test_xgboost_files_of_earlier_but_not_of_later_versions_are_read(
    pinned: str, refused: bool | None, numbers: pd.DataFrame, tmp_path: Path
) -> None:
    xgboost.train({}, xgboost.DMatrix(numbers, label=numbers["hour"]), 1).save_model(tmp_path / "model.ubj")
    spec = spec_of("xgboost-ubj", framework_version=pinned)
    if refused:
        with pytest.raises(ModelError, match=r"trained with XGBoost 99.0, this image has .* not of later"):
            load_model(spec, tmp_path / "model.ubj")
        return
    noted = (f"trained with XGBoost {pinned}, scored with {xgboost.__version__}",) if refused is None else ()
    assert load_model(spec, tmp_path / "model.ubj").notes == noted


class Chatty(BaseEstimator):  # type: ignore[misc]
    """An estimator that gives many warnings when it is loaded."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        for index in range(30):
            warnings.warn(f"warning {index} " + "x" * 500, UserWarning, stacklevel=1)
        warnings.warn("of interest to programmers only", DeprecationWarning, stacklevel=1)
        self.__dict__.update(state)

    def predict(self, matrix: Any) -> Any:
        return matrix[:, 0]


def test_notes_stay_few_and_short(tmp_path: Path) -> None:
    sys.modules.setdefault(Chatty.__module__, sys.modules[__name__])
    (tmp_path / "model").write_bytes(pickle.dumps(Chatty()))
    notes = load_model(spec_of("sklearn-joblib"), tmp_path / "model").notes
    assert len(notes) == 6
    assert notes[-1] == "and 25 more warnings, see the job's log"
    assert max(map(len, notes)) <= 300
    assert not any("programmers" in note for note in notes)


@pytest.mark.parametrize("saved", ["pickle", "joblib", "compressed"])
def test_an_xgboost_pickle_is_refused_with_a_remedy(saved: str, numbers: pd.DataFrame, tmp_path: Path) -> None:
    booster = xgboost.train({}, xgboost.DMatrix(numbers, label=numbers["hour"]), 1)
    file = tmp_path / "model.pkl"
    if saved == "pickle":
        file.write_bytes(pickle.dumps(booster))
    else:
        joblib.dump(booster, file, compress=3 if saved == "compressed" else 0)
    with pytest.raises(ModelError) as refused:
        load_model(spec_of("xgboost-ubj", framework_version="0.90-2", model_file="model.pkl"), file)
    text = str(refused.value)
    assert "'model.pkl' is a Python pickle, expected xgboost-ubj" in text
    assert "load it with the version of XGBoost that wrote it (0.90-2 according to the record)" in text
    assert "call save_model('model.ubj') there" in text


def test_xgboosts_binary_format_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"binf" + bytes(200))
    with pytest.raises(ModelError, match="perhaps XGBoost's old binary format, expected xgboost-sklearn-json"):
        load_model(spec_of("xgboost-sklearn-json", model_file="model.bin"), tmp_path / "model.bin")


def test_commits_note_the_warnings_of_their_own_model_only(
    job: JobFolder, training: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = training[list(NAMES)].fillna(0)
    model = LogisticRegression().fit(frame / 1_000, training["late"])
    features = [Feature(name, "double") for name in NAMES]
    job.add_model("old", lambda path: saved_by("1.1.0", model, path, monkeypatch), features=features)
    job.add_model("new", lambda path: joblib.dump(model, path), features=features)
    job.add_object("a.parquet", frame)
    job.write_spec()

    job.score()

    [note] = job.commit("old", "a.parquet").notes
    assert "LogisticRegression from version 1.1.0" in note
    assert job.commit("new", "a.parquet").notes == ()
