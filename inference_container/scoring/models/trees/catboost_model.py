"""Loads CatBoost models written by `save_model('model.cbm')`.

Predictions are those of CatBoost's classes.
"""

from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import output_fields
from scoring.errors import ModelError
from scoring.models import check_features
from scoring.models.times import time_notes

_CATEGORY_TYPES = frozenset({"string", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})
"""Types that CatBoost accepts as categories.

The number 1 and the text "1" are the same category.
"""


def load(spec: ModelSpec, path: Path) -> "CatBoostModel":
    try:
        return CatBoostModel(spec, *read(path))
    except ValueError as error:
        raise ModelError(f"model {spec.model_id!r}: {spec.model_file!r} {error}") from error


def read(path: Path) -> tuple[Any, bool]:
    """Return the model, as the class that trained it, and whether it is a classifier.

    The class determines what `predict` returns.

    Raises:
        ValueError: The file is not a .cbm file.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"CBM1":
        kind = "a pickle" if magic.startswith(b"\x80") else "not a .cbm file"
        raise ValueError(
            f"is {kind}: load it with the CatBoost that wrote it, save it with save_model('model.cbm'), and register "
            "that file"
        )
    plain = catboost.CatBoost().load_model(str(path))
    if len(plain.classes_):
        return catboost.CatBoostClassifier().load_model(str(path)), True
    loss = str(plain.get_all_params().get("loss_function", "")) if plain.tree_count_ else ""
    if loss.startswith(("Poisson", "Tweedie", "RMSEWithUncertainty")):
        return catboost.CatBoostRegressor().load_model(str(path)), False
    return plain, False


def names_of(model: Any) -> list[str] | None:
    """Return the features' names; None if they are positions because it was trained on a matrix."""
    names = [str(name) for name in model.feature_names_]
    return None if names == [str(index) for index in range(len(names))] else names


class CatBoostModel:
    """A CatBoost model.

    `predict` returns labels (classifier) or values, `predict_proba` one column per class, `margin`
    the raw sums.
    """

    notes: tuple[str, ...] = ()
    concurrent = True
    """Prediction does not change a model; a test compares concurrent threads."""
    rows_are_independent = True

    def __init__(self, spec: ModelSpec, model: Any, classifier: bool) -> None:
        self.native = model
        self._classifier = classifier
        self._method = spec.method
        check_features(spec, names_of(model), len(model.feature_names_))
        self._categories = self._check_categories(spec)
        self.notes = time_notes(spec, np.float32)
        if spec.method == "predict_proba" and not self._classifier:
            raise ModelError(f"model {spec.model_id!r}: predict_proba needs a classifier: use predict in its record")
        # The outputs depend on the loss function (exponents, several targets, uncertainty), so
        # predict a sample.
        self.outputs = output_fields(spec, *self._describe(self._predict(self._sample(spec))))

    def predict(self, batch: FeatureBatch) -> Any:
        if not self._categories:
            return self._predict(batch.matrix(np.float32))
        frame = batch.with_times_as_numbers().frame()
        for name, array in zip(batch.names, batch.arrays, strict=True):
            if name not in self._categories:
                continue
            if array.null_count:
                raise ValueError(
                    f"categorical feature {name!r} is null in {array.null_count:,} rows, and CatBoost accepts no nulls "
                    "in categories: fill them as in training"
                )
            if pa.types.is_integer(array.type):
                # Nulls in other rows make the frame's column floating point, and CatBoost refuses
                # 3.0 for 3.
                frame[name] = array.to_numpy()
        return self._predict(frame)

    def _predict(self, data: Any) -> Any:
        if self._method == "predict_proba":
            return self.native.predict_proba(data, thread_count=1)
        if self._method == "margin":
            return self.native.predict(data, prediction_type="RawFormulaVal", thread_count=1)
        return self.native.predict(data, thread_count=1)

    def _check_categories(self, spec: ModelSpec) -> frozenset[str]:
        other = [*self.native.get_text_feature_indices(), *self.native.get_embedding_feature_indices()]
        if other:
            named = [spec.features[index].name for index in other]
            raise ModelError(
                f"model {spec.model_id!r}: text and embedding features of CatBoost are not supported ({named}): use "
                "categorical or numeric features"
            )
        lists = [feature.name for feature in spec.features if feature.is_list]
        if lists and self.native.get_cat_feature_indices():
            raise ModelError(
                f"model {spec.model_id!r}: it has categorical features, and its record declares {lists} as lists: "
                "declare a feature per column of its training"
            )
        categorical = {spec.features[index].name for index in self.native.get_cat_feature_indices()}
        wrong = [
            f"{feature.name!r} is {feature.type}, the model takes it as "
            f"{'a category: declare it as string or a whole number' if feature.name in categorical else 'a number'}"
            for feature in spec.features
            if (feature.type not in _CATEGORY_TYPES if feature.name in categorical else feature.type == "string")
        ]
        if wrong:
            raise ModelError(
                f"model {spec.model_id!r}: its features do not fit the model: {'; '.join(wrong)}: correct features in "
                "the record"
            )
        return frozenset(categorical)

    def _sample(self, spec: ModelSpec) -> Any:
        if not self._categories:
            return np.zeros((2, sum(feature.width for feature in spec.features)), dtype=np.float32)
        import pandas as pd  # noqa: PLC0415 - numeric models do not need it

        values = {item.name: ["", ""] if item.type == "string" else [0, 0] for item in spec.features}
        return pd.DataFrame(values)

    def _describe(self, sample: Any) -> tuple[list[pa.DataType], list[object] | range | None]:
        sample = np.asarray(sample)
        width = 1 if sample.ndim == 1 else sample.shape[1]
        kind = pa.float64()
        if self._method == "predict" and self._classifier:
            kinds = {"i": pa.int64(), "u": pa.int64(), "f": pa.float64(), "b": pa.bool_()}
            # CatBoost returns labels as objects, so find their type. It treats True and False as
            # texts.
            kind = kinds.get(np.asarray(sample.tolist()).dtype.kind, pa.string())
        if width == 1:
            return [kind], None
        labels_of = list(self.native.classes_)
        return [kind] * width, labels_of if len(labels_of) == width else range(width)
