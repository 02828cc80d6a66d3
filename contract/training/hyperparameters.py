"""The hyperparameters of each trainer.

SageMaker passes them as text; this module parses them strictly.

They are part of the contract, so that a wrong value is refused early: when a recipe is set or an
execution is planned.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from contract.problems import Problem

Value = int | float | bool | str | None

ESTIMATORS: dict[str, frozenset[str]] = {
    "hist_gradient_boosting": frozenset({"binary", "multiclass", "regression"}),
    "random_forest": frozenset({"binary", "multiclass", "regression"}),
    "extra_trees": frozenset({"binary", "multiclass", "regression"}),
    "logistic_regression": frozenset({"binary", "multiclass"}),
    "linear_regression": frozenset({"regression"}),
    "ridge": frozenset({"regression"}),
    "elastic_net": frozenset({"regression"}),
}
"""Tasks per estimator of trainer `sklearn`."""

EARLY_STOPPING: dict[str, frozenset[str]] = {
    "xgboost": frozenset({"auc", "average_precision", "logloss", "accuracy", "rmse", "mae", "r2"}),
    "hist_gradient_boosting": frozenset(
        {"auc", "average_precision", "f1", "f1_macro", "logloss", "accuracy", "balanced_accuracy", "rmse", "mae", "r2"}
    ),
}
"""Metrics for early stopping, per trainer or estimator that trains in rounds."""


@dataclass(frozen=True)
class Hyperparameter:
    """Allowed values of a hyperparameter.

    Bounds are inclusive; `above_low` excludes the lower one.
    """

    kind: Literal["int", "float", "bool", "choice"]
    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False
    choices: tuple[str, ...] = ()
    or_none: bool = False

    @property
    def expected(self) -> str:
        none = " or none" if self.or_none else ""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices) + none
        if self.kind == "bool":
            return "true or false" + none
        word = "a whole number" if self.kind == "int" else "a number"
        low = "" if self.low == -math.inf else f" {'above' if self.above_low else 'from'} {self.low:,g}"
        high = "" if self.high == math.inf else f" up to {self.high:,g}"
        return word + low + high + none

    def parse(self, text: str) -> Value:
        """Parse a text and return its value.

        >>> Hyperparameter("int", 1, 10).parse("7")
        7

        Raises:
            ValueError: if the text is not an allowed value.
        """
        text = text.strip()
        if self.or_none and text.lower() == "none":
            return None
        if self.kind == "choice":
            if text not in self.choices:
                raise ValueError(text)
            return text
        if self.kind == "bool":
            if text.lower() not in ("true", "false"):
                raise ValueError(text)
            return text.lower() == "true"
        number = int(text) if self.kind == "int" else float(text)
        if not self.low <= number <= self.high or (self.above_low and number == self.low):
            raise ValueError(text)
        return number


def _int(low: float, high: float = 1_000_000, *, or_none: bool = False) -> Hyperparameter:
    return Hyperparameter("int", low, high, or_none=or_none)


def _number(low: float = -1e300, high: float = 1e300, *, above_low: bool = False) -> Hyperparameter:
    # The default bounds refuse "nan" and "inf", which Python parses as numbers.
    return Hyperparameter("float", low, high, above_low)


def _choice(*choices: str, or_none: bool = False) -> Hyperparameter:
    return Hyperparameter("choice", choices=choices, or_none=or_none)


_SHARE = _number(0, 1, above_low=True)
_BOOL = Hyperparameter("bool")

_XGBOOST: dict[str, Hyperparameter] = {
    "num_boost_round": _int(1, 100_000),
    "checkpoint_rounds": _int(1, 100_000),
    "external_memory": _BOOL,
    "eta": _number(0, 1, above_low=True),
    "gamma": _number(0),
    "max_depth": _int(0, 64),
    "max_leaves": _int(0),
    "min_child_weight": _number(0),
    "max_delta_step": _number(0),
    "subsample": _SHARE,
    "colsample_bytree": _SHARE,
    "colsample_bylevel": _SHARE,
    "colsample_bynode": _SHARE,
    "lambda": _number(0),
    "alpha": _number(0),
    "grow_policy": _choice("depthwise", "lossguide"),
    "max_bin": _int(2, 65_536),
    "num_parallel_tree": _int(1, 10_000),
    "base_score": _number(),
}
_XGBOOST_OF_TASK: dict[str, dict[str, Hyperparameter]] = {
    "binary": {"scale_pos_weight": _number(0, above_low=True), "objective": _choice("binary:logistic")},
    "multiclass": {"objective": _choice("multi:softprob", "multi:softmax")},
    "regression": {
        "objective": _choice(
            "reg:squarederror",
            "reg:squaredlogerror",
            "reg:absoluteerror",
            "reg:pseudohubererror",
            "reg:gamma",
            "reg:tweedie",
            "count:poisson",
        ),
        "tweedie_variance_power": _number(1, 2, above_low=True),
        "huber_slope": _number(0, above_low=True),
    },
}
_XGBOOST_ALIASES = {
    "learning_rate": "eta",
    "min_split_loss": "gamma",
    "reg_lambda": "lambda",
    "reg_alpha": "alpha",
    "n_estimators": "num_boost_round",
    "num_round": "num_boost_round",
}
"""Other names of parameters, used by XGBoost, its scikit-learn wrapper and SageMaker's own
algorithm."""

_TREES: dict[str, Hyperparameter] = {
    "n_estimators": _int(1, 100_000),
    "max_depth": _int(1, 1_000, or_none=True),
    "min_samples_split": _int(2),
    "min_samples_leaf": _int(1),
    "max_leaf_nodes": _int(2, or_none=True),
    "max_features": _choice("sqrt", "log2", or_none=True),
    "bootstrap": _BOOL,
}
_SKLEARN: dict[str, dict[str, Hyperparameter]] = {
    "hist_gradient_boosting": {
        "learning_rate": _number(0, 1, above_low=True),
        "max_iter": _int(1, 100_000),
        "max_leaf_nodes": _int(2, or_none=True),
        "max_depth": _int(1, 1_000, or_none=True),
        "min_samples_leaf": _int(1),
        "l2_regularization": _number(0),
        "max_bins": _int(2, 255),
    },
    "random_forest": _TREES,
    "extra_trees": _TREES,
    "logistic_regression": {
        "C": _number(0, above_low=True),
        "max_iter": _int(1),
        "tol": _number(0, above_low=True),
        "fit_intercept": _BOOL,
        "class_weight": _choice("balanced", or_none=True),
    },
    "linear_regression": {"fit_intercept": _BOOL},
    "ridge": {"alpha": _number(0), "fit_intercept": _BOOL},
    "elastic_net": {
        "alpha": _number(0, above_low=True),
        "l1_ratio": _number(0, 1),
        "max_iter": _int(1),
        "tol": _number(0, above_low=True),
        "fit_intercept": _BOOL,
    },
}
_FIELDS = {
    "seed": "seed",
    "random_state": "seed",
    "eval_metric": "metric",
    "early_stopping_rounds": "early_stopping_rounds",
    "n_iter_no_change": "early_stopping_rounds",
    "validation_fraction": "holdout_fraction",
}
"""Field of the recipe for each name that other tools use as a hyperparameter."""


def known_hyperparameters(trainer: str, estimator: str | None, task: str) -> dict[str, Hyperparameter]:
    """Return a trainer's hyperparameters by name. A script has none, because it reads its own.

    >>> sorted(known_hyperparameters("sklearn", "ridge", "regression"))
    ['alpha', 'fit_intercept']
    """
    if trainer == "xgboost":
        return {**_XGBOOST, **_XGBOOST_OF_TASK.get(task, {})}
    return _SKLEARN.get(estimator or "", {}) if trainer == "sklearn" else {}


def parse_hyperparameters(
    trainer: str, estimator: str | None, task: str, texts: Mapping[str, str]
) -> tuple[dict[str, Value], list[Problem]]:
    """Return all hyperparameters under their main names, and the problems of the texts.

    >>> parse_hyperparameters("xgboost", None, "binary", {"learning_rate": "0.1"})
    ({'eta': 0.1}, [])
    """
    table = known_hyperparameters(trainer, estimator, task)
    values: dict[str, Value] = {}
    problems: list[Problem] = []
    for given, text in texts.items():
        name = _XGBOOST_ALIASES.get(given, given) if trainer == "xgboost" else given
        field = f"hyperparameters.{given}"
        if name not in table:
            problems.append(_unknown(field, given, text, table))
        elif name in values:
            problems.append(Problem(field, text, f"one value: {given!r} and another name of {name!r} are both given"))
        else:
            try:
                values[name] = table[name].parse(text)
            except ValueError:
                problems.append(Problem(field, text, table[name].expected))
    return values, problems


def _unknown(field: str, given: str, text: str, table: Mapping[str, Hyperparameter]) -> Problem:
    if given in _FIELDS:
        remedy = f"Set the training's field {_FIELDS[given]!r} instead."
    else:
        near = difflib.get_close_matches(given, table, n=1)
        remedy = (f"Did you mean {near[0]!r}? " if near else "") + f"Known: {', '.join(sorted(table))}."
    return Problem(field, text, "no such hyperparameter", remedy)
