"""Pickles that name a class or module which the image lacks."""

import sys
import types
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from scoring.errors import ModelError
from scoring.models import load_model
from tests.unit.scoring.models.loading import spec_of


class Doubler(BaseEstimator, TransformerMixin):  # type: ignore[misc]
    def fit(self, *_: Any) -> "Doubler":
        return self

    def transform(self, matrix: Any) -> Any:
        return np.asarray(matrix) * 2


def pickled_as(folder: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a pipeline whose class was in this module when it was pickled."""
    made = type("Doubler", (Doubler,), {"__module__": module, "__qualname__": "Doubler"})
    with monkeypatch.context() as patched:
        if module not in sys.modules:
            patched.setitem(sys.modules, module, types.ModuleType(module))
        patched.setattr(sys.modules[module], "Doubler", made, raising=False)
        joblib.dump(make_pipeline(made(), LinearRegression()).fit(np.eye(3), [1.0, 2.0, 3.0]), folder / "model")
    return folder / "model"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("__main__", "it needs 'Doubler' of __main__, the script that pickled it.*move 'Doubler' to a module"),
        ("helpers_of_training", "it needs the module 'helpers_of_training', which this image lacks: if the module is"),
        ("sklearn.preprocessing", "it needs 'Doubler' of the module 'sklearn.preprocessing', which has no such name"),
        ("torch", "it needs the module 'torch', which this image lacks: save the model as pytorch-export"),
    ],
)
def test_a_missing_class_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, words: str
) -> None:
    path = pickled_as(tmp_path, module, monkeypatch)
    with pytest.raises(ModelError, match=f"cannot be loaded as sklearn-joblib .*{words}"):
        load_model(spec_of("sklearn-joblib"), path)
