"""Wrappers of XGBoost and LightGBM among scikit-learn models: their names and categories."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contract.catalog.model_spec import ModelSpec
from scoring.models import check_features
from scoring.models.categories import Categories, typed_values
from scoring.models.scikit_learn.library import is_pipeline

_LIBRARIES = ("xgboost", "lightgbm")
_INNER = ("best_estimator_", "estimator_", "estimators_")
"""Attributes of estimators that pass their input on as it is."""


@dataclass(frozen=True)
class TreeWrapper:
    """An XGBModel or LGBMModel, alone or where it gets the input of the whole model."""

    estimator: Any
    library: str

    @classmethod
    def inside(cls, estimator: Any) -> "TreeWrapper | None":
        """Return the first wrapper that gets the input as it is; None if there is none."""
        for part in _parts(estimator):
            modules = {base.__module__ for base in type(part).__mro__}
            for library in _LIBRARIES:
                if f"{library}.sklearn" in modules:
                    return cls(part, library)
        return None

    def check_features(self, spec: ModelSpec) -> list[str] | None:
        """Compare the record's features with those of the model, and return these if they have names.

        Raises:
            ModelError: They differ.
        """
        if self.library == "lightgbm":
            # LightGBM's names have underscores for blanks, and generated ones after a matrix.
            from scoring.models.trees.lightgbm_booster import as_lightgbm_names, names_of  # noqa: PLC0415

            names = names_of(self.estimator.booster_)
            check_features(as_lightgbm_names(spec), names, self.estimator.n_features_in_)
            return names
        found = getattr(self.estimator, "feature_names_in_", None)
        check_features(spec, found, self.estimator.n_features_in_)
        return None if found is None else [str(name) for name in found]

    def categories(self, spec: ModelSpec) -> Categories:
        """Return the categories of the columns for which the wrapper takes pandas's category dtype.

        Raises:
            ModelError: The record's features do not fit them.
        """
        if self.library == "lightgbm":
            from scoring.models.trees import lightgbm_booster  # noqa: PLC0415 - only for its models

            return Categories(typed_values(spec, lightgbm_booster.stored_categories(spec, self.estimator.booster_)))
        from scoring.models.trees import xgboost_library  # noqa: PLC0415 - only for its models

        return xgboost_library.stored_categories_of(spec, self.estimator.get_booster())


def _parts(estimator: Any) -> Iterator[Any]:
    """Yield an estimator, and those inside it that get the same input."""
    if is_pipeline(estimator):
        *before, (_, last) = estimator.steps
        if all(part is None or part == "passthrough" for _, part in before):
            yield from _parts(last)
        return
    yield estimator
    for name in _INNER:
        inner = getattr(estimator, name, None)
        for part in inner if isinstance(inner, list) else [inner]:
            if hasattr(part, "predict"):
                yield from _parts(part)
