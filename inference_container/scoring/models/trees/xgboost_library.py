"""Imports XGBoost without scikit-learn, and has the code that both of its formats share."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.device import Device, find_device
from scoring.errors import ModelError
from scoring.lazy_imports import import_without_sklearn, postponed
from scoring.models import check_features
from scoring.models.categories import Categories, input_names, typed_values


def _import_xgboost() -> Any:
    # SciPy takes three quarters of the import time. It has the classes of sparse matrices, which scoring does not
    # pass to XGBoost, and a function that only XGBoost's wrappers for scikit-learn call.
    with postponed({"scipy.sparse": ["csr_matrix"], "scipy.special": ["softmax"]}):
        return import_without_sklearn("xgboost")


xgboost = _import_xgboost()


CATEGORY = "c"
"""XGBoost's type of a categorical feature."""


def _device() -> Device:
    """Return the GPU if there is one and this XGBoost supports it, else the CPU."""
    if find_device() == "cuda" and not xgboost.build_info().get("USE_CUDA"):
        sys.stderr.write("there is a GPU, but this image's XGBoost is built for the CPU: scoring on the CPU\n")
        return "cpu"
    return find_device()


class BoosterFile:
    """A Booster from a file of the declared format, checked against its record."""

    def __init__(self, spec: ModelSpec, path: Path) -> None:
        content = bytearray(path.read_bytes())
        _refuse_legacy(spec, content)
        # Both formats begin with a brace. A quote follows in JSON, the length of a name in UBJSON.
        found = "json" if content[1:].lstrip().startswith(b'"') else "ubj"
        if not spec.format.endswith(found):
            raise ModelError(
                f"model {spec.model_id!r}: {spec.model_file!r} is not {spec.format}, it looks like {found}: correct "
                "format in the model's record"
            )
        # One thread per call, because the threads of the budget predict whole batches concurrently.
        self.booster = xgboost.Booster({"nthread": 1})
        self.booster.load_model(content)
        check_features(spec, self.booster.feature_names, int(self.booster.num_features()))
        self.categories = stored_categories_of(spec, self.booster)
        self.notes = _notes(spec, self.booster, self.categories)
        learner = json.loads(self.booster.save_config())["learner"]
        parameters = learner["learner_model_param"]
        self.objective = str(learner["objective"]["name"])
        self.classes = int(parameters.get("num_class", 0))
        self.targets = int(parameters.get("num_target", 1))
        self.linear = learner["gradient_booster"]["name"] == "gblinear"
        self.predict_accelerated: Any = None
        self._missing = np.nan if spec.missing is None else spec.missing
        self.device = _device()
        if self.device == "cuda":
            self.booster.set_param({"device": "cuda"})
        # XGBoost's prediction is thread-safe only for trees, and concurrent batches would multiply
        # the GPU memory.
        self.concurrent = not self.linear and self.device == "cpu"

    def accelerated(self, spec: ModelSpec, trees: int = 0) -> "BoosterFile":
        """Return a copy that predicts with the accelerator named in the record."""
        from scoring.models.trees import accelerated_trees  # noqa: PLC0415 - few models need it

        other = copy.copy(self)
        other.predict_accelerated = accelerated_trees.xgboost_predict(spec, self.booster, self.objective, trees)
        return other

    def predict(self, batch: FeatureBatch, *, margin: bool, trees: tuple[int, int] = (0, 0)) -> Any:
        """Return float32 predictions, one per row, or rows by classes or targets.

        `trees` is a range of boosting rounds; (0, 0) means all.

        Raises:
            ValueError: A value is not a category of the model.
        """
        # Only the accelerator may need a writable matrix.
        matrix = self.categories.encode(batch).matrix(np.float32, read_only=self.predict_accelerated is None)
        if self.predict_accelerated is not None:
            return self.predict_accelerated(self._with_nan(matrix))
        # inplace_predict warns on each call if matrix and model are in different memory.
        if self.linear or self.device == "cuda":
            data = xgboost.DMatrix(matrix, missing=self._missing, nthread=1)
            return self.booster.predict(data, output_margin=margin, iteration_range=trees, validate_features=False)
        kind = "margin" if margin else "value"
        return self.booster.inplace_predict(matrix, iteration_range=trees, predict_type=kind, missing=self._missing)

    def _with_nan(self, matrix: Any) -> Any:
        """Return the matrix with NaN for missing values, which is all that the accelerator knows."""
        if np.isnan(self._missing):
            return matrix
        return np.where(matrix == np.float32(self._missing), np.float32(np.nan), matrix)


def _stored_categories(booster: Any) -> dict[int, list[Any]]:
    """Return the categories that a Booster stores, by the position of their feature.

    XGBoost stores them since version 3.1, for models trained on data frames.
    """
    if CATEGORY not in (booster.feature_types or []):
        return {}
    stored = booster.get_categories(export_to_arrow=True).to_arrow()
    return {index: _texts_or_numbers(values) for index, (_, values) in enumerate(stored) if values is not None}


def _texts_or_numbers(values: Any) -> list[Any]:
    """Return the values of an Arrow array, as bytes if it holds texts that are not UTF-8."""
    try:
        return list(values.to_pylist())
    except UnicodeDecodeError:
        return list(values.cast("binary").to_pylist())


def stored_categories_of(spec: ModelSpec, booster: Any) -> Categories:
    """Return the stored categories of the record's features.

    Raises:
        ModelError: A feature does not fit, such as a text whose categories are not in the file.
    """
    names = input_names(spec)
    stored = {names[index]: values for index, values in _stored_categories(booster).items()}
    _refuse_damaged(spec, stored)
    coded = _coded_features(spec, booster) - set(stored)
    texts = [feature.name for feature in spec.features if feature.type == "string" and feature.name not in stored]
    if not texts:
        return Categories(typed_values(spec, stored), refuses_unknown=True)
    found = f"its record declares {texts} as string"
    if coded & set(texts):
        raise ModelError(
            f"model {spec.model_id!r}: {found}, and its file has no categories for "
            f"{sorted(coded & set(texts))}, only codes: save it with XGBoost 3.1 or later, trained on a data frame "
            "with these columns as categories, or declare the codes of training as whole numbers"
        )
    raise ModelError(
        f"model {spec.model_id!r}: {found}, and the model takes them as numbers: encode them as in training, or train "
        "on categories (enable_categorical)"
    )


def _refuse_damaged(spec: ModelSpec, stored: dict[str, list[Any]]) -> None:
    """Refuse texts that are not ASCII, because XGBoost 3.1 and 3.2 may have stored other texts.

    For a pandas frame they cut the texts by characters where the file counts bytes, so 'Köln' becomes 'Köl' and
    the next category begins with its 'n' (https://github.com/dmlc/xgboost/pull/12371). The file does not say which
    kind of frame it was.
    """
    damaged = sorted(
        name
        for name, values in stored.items()
        if any(isinstance(value, bytes) or (isinstance(value, str) and not value.isascii()) for value in values)
    )
    if damaged:
        raise ModelError(
            f"model {spec.model_id!r}: its file may hold wrong texts for the categories of {damaged}, because XGBoost "
            "3.1 and 3.2 store texts that are not ASCII damaged when they train on a pandas frame: train on whole "
            "numbers or ASCII texts in place of these categories, and map the dataset in the same way"
        )


def _notes(spec: ModelSpec, booster: Any, categories: Categories) -> tuple[str, ...]:
    coded = sorted(_coded_features(spec, booster) - set(categories.values))
    if not coded:
        return ()
    return (f"categories of {coded} are taken as the codes of training, because the model stores no categories",)


def _coded_features(spec: ModelSpec, booster: Any) -> set[str]:
    kinds = booster.feature_types or []
    return {name for name, kind in zip(input_names(spec), kinds, strict=False) if kind == CATEGORY}


def _refuse_legacy(spec: ModelSpec, content: bytes | bytearray) -> None:
    """Refuse pickles, which need the same XGBoost version, and the removed binary format."""
    if content.startswith(b"{"):
        return
    pickled = content.startswith(_PICKLE_STARTS)
    kind = "a Python pickle" if pickled else "not JSON or UBJSON, perhaps XGBoost's old binary format"
    raise ModelError(
        f"model {spec.model_id!r}: {spec.model_file!r} is {kind}, expected {spec.format}: load it with the version of "
        f"XGBoost that wrote it{_written_by(spec)}, call save_model('model.ubj') there, and register that file as "
        "xgboost-ubj (a Booster) or xgboost-sklearn-ubj (XGBClassifier, XGBRegressor)"
    )


_PICKLE_STARTS = (b"\x80", b"(", b"c__", b"\x1f\x8b", b"x\x01", b"x^", b"x\x9c", b"x\xda", b"BZh", b"\xfd7zXZ")
"""First bytes of pickles and of joblib's compressed pickles."""


def _written_by(spec: ModelSpec) -> str:
    return f" ({spec.framework_version} according to the record)" if spec.framework_version else ""
