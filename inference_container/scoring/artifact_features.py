"""Reads the features of an unpacked artifact: `python -m scoring.artifact_features FORMAT FILE ANSWER`.

For `fleetscore models register --infer-schema`. Runs in a separate process, because loading an
artifact runs its code.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT, ModelFormat
from scoring.errors import one_line

_Features = tuple[Sequence[Any] | None, int | None]


def read_features(declared: ModelFormat, path: Path) -> dict[str, Any]:
    """Return a dict with the features' `names`, in order, and their `count`.

    A value is None if the artifact does not store it.
    """
    reader = _READERS.get(declared) or _READERS.get(FRAMEWORK_OF_FORMAT[declared])
    # Other formats store no names, and their libraries may be missing here.
    names, count = reader(path) if reader is not None else (None, None)
    return {
        "names": None if names is None else [str(name) for name in names],
        "count": None if count is None else int(count),
    }


# Each reader imports only the library that its format needs.


def _joblib(path: Path) -> _Features:
    import joblib  # noqa: PLC0415

    return _estimator(joblib.load(path))


def _skops(path: Path) -> _Features:
    from scoring.models.scikit_learn.skops_file import read, untrusted_types  # noqa: PLC0415

    if untrusted := untrusted_types(path, ()):
        raise ValueError(f"the file has types that skops does not trust, {untrusted}: pass --features instead")
    return _estimator(read(path))


def _estimator(estimator: Any) -> _Features:
    return getattr(estimator, "feature_names_in_", None), getattr(estimator, "n_features_in_", None)


def _xgboost(path: Path) -> _Features:
    from scoring.models.trees.xgboost_library import xgboost  # noqa: PLC0415

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(path.read_bytes()))
    return booster.feature_names, booster.num_features()


def _lightgbm(path: Path) -> _Features:
    from scoring.models.trees.lightgbm_booster import names_of, read  # noqa: PLC0415

    booster = read(path)
    return names_of(booster), booster.num_feature()


def _catboost(path: Path) -> _Features:
    from scoring.models.trees.catboost_model import names_of, read  # noqa: PLC0415

    model, _ = read(path)
    return names_of(model), len(model.feature_names_)


def _onnx(path: Path) -> _Features:
    from scoring.models.onnx_model import names_of, open_session  # noqa: PLC0415

    return names_of(open_session(path))


_READERS: dict[str, Callable[[Path], _Features]] = {
    "sklearn-joblib": _joblib,
    "sklearn-skops": _skops,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "onnx": _onnx,
}
"""Readers by format, or by framework if all its formats are read in the same way."""


def main(declared: ModelFormat, path: Path, answer: Path) -> int:
    try:
        found = read_features(declared, path)
    # Unpickling runs the model's code, which may even call sys.exit.
    except BaseException as error:
        found = {"error": one_line(error)}
    # To a file, because the model's code may print to stdout.
    answer.write_text(json.dumps(found), encoding="utf-8")
    return 1 if "error" in found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(Path, sys.argv[2:])))  # type: ignore[arg-type]
