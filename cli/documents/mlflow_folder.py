"""Model folders of MLflow, read without MLflow and packed as artifacts."""

import gzip
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from contract.json_text import JsonError, parse_json
from contract.layout import ARTIFACT_NAME
from contract.names import check_object_key
from contract.problems import InvalidInputError, Problem

_DESCRIPTION = "MLmodel"
_MAX_VALUES = 100_000
"""Largest number of values in a description.

Nine levels of YAML aliases can expand to a billion.
"""
_TYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float",
    "double": "double",
    "string": "string",
    # MLflow gives models NumPy's datetime64[ns].
    "datetime": "timestamp[ns]",
}
"""Arrow types by MLflow's column types."""
_METHODS = ("predict", "predict_proba", "decision_function")
"""Functions of a model that scoring can call."""
_XGBOOST_PARAMETERS = frozenset(
    {
        *("output_margin", "pred_leaf", "pred_contribs", "approx_contribs", "pred_interactions"),
        *("base_margin", "iteration_range", "ntree_limit", "training", "strict_shape"),
    }
)
"""Parameters of a signature that MLflow passes to XGBoost. It passes none to other libraries."""
_PICKLES = ("pickle", "cloudpickle")


@dataclass(frozen=True)
class MlflowModel:
    """Fields of a model's document, as a folder gives them, and the file for its artifact."""

    fields: Mapping[str, Any]
    file: Path
    problems: tuple[Problem, ...]
    """Problems of the signature, if features are not given otherwise."""
    method_problem: Problem | None = None
    """Reason why `fields` has no method: MLflow's function is unknown or has no equivalent."""


def read_mlflow_folder(folder: Path) -> MlflowModel:
    """Read a folder that has one of the known flavors.

    Raises:
        InvalidInputError: when the folder has none, with every problem of it.
    """
    import yaml  # noqa: PLC0415 - no other command needs it

    path = folder / _DESCRIPTION
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(str(folder), f"a folder with a file {_DESCRIPTION} ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(str(path), f"YAML ({' '.join(str(error).split())})") from error
    if _has_more_values(described, _MAX_VALUES):
        raise _refused(str(path), f"a description of at most {_MAX_VALUES:,} values")
    flavors = described.get("flavors") if isinstance(described, dict) else None
    if not isinstance(flavors, dict):
        raise _refused(str(path), "a description with flavors")
    name = _flavor(flavors)
    fields, file = _FLAVORS[name](flavors[name], folder)
    features, problems = _features(described.get("signature"))
    if features is not None:
        fields["features"] = features
    method, problem = _method(name, flavors, described.get("signature"))
    if method:
        fields["method"] = method
    run = described.get("run_id") or described.get("model_id") or described.get("model_uuid")
    source = f"mlflow {run}" if isinstance(run, str) else f"mlflow folder {folder.resolve().name}"
    return MlflowModel({**fields, "source": source}, file, tuple(problems), problem)


def _flavor(flavors: Mapping[str, Any]) -> str:
    """Return the flavor that MLflow itself would load, or else the first that is known."""
    known = [name for name in _FLAVORS if isinstance(flavors.get(name), dict)]
    if not known:
        raise _refused(sorted(map(str, flavors)), f"one of the flavors {', '.join(_FLAVORS)}")
    module = str(_function(flavors).get("loader_module") or "mlflow.sklearn")
    name = module.removeprefix("mlflow.")
    if name not in _FLAVORS:
        remedy = "MLflow predicts with that code. Register the model's file, or write the code as custom code."
        raise _refused(module, f"one of the loader modules mlflow.{', mlflow.'.join(_FLAVORS)}", remedy)
    return name if name in known else known[0]


def _function(flavors: Mapping[str, Any]) -> Mapping[str, Any]:
    found = flavors.get("python_function")
    return found if isinstance(found, dict) else {}


def _method(name: str, flavors: Mapping[str, Any], signature: object) -> tuple[str, Problem | None]:
    """Return the method equivalent to MLflow's function, or the reason why there is none."""
    called = str(_function(flavors).get("predict_fn") or "predict")
    if called not in _METHODS:
        remedy = "Name another method with --method; its predictions are not those of MLflow."
        return "", Problem("python_function: predict_fn", called, f"one of {', '.join(_METHODS)}", remedy)
    if name == "catboost" and flavors[name].get("model_type") == "CatBoost":
        # The class itself predicts raw values, also for the loss function of a classifier.
        remedy = "Add --method margin for the raw values that MLflow gives, or --method predict for labels."
        return "", Problem("catboost: model_type", "CatBoost", "CatBoostClassifier or CatBoostRegressor", remedy)
    if name != "xgboost":
        return called, None
    changed = {key: value for key, value in _parameters(signature).items() if key in _XGBOOST_PARAMETERS and value}
    if set(changed) == {"output_margin"}:
        return "margin", None
    if changed:
        remedy = "Name a method with --method; its predictions are not those of MLflow."
        return "", Problem("signature: params", sorted(changed), "no default but that of output_margin", remedy)
    return called, None


def _parameters(signature: object) -> dict[str, Any]:
    """Return the defaults of a signature's parameters, which MLflow passes to the model."""
    text = signature.get("params") if isinstance(signature, dict) else None
    try:
        found = parse_json(text) if isinstance(text, str) else text
    except JsonError:
        return {}
    items = found if isinstance(found, list) else []
    return {str(item.get("name")): item.get("default") for item in items if isinstance(item, dict)}


def _has_more_values(described: object, limit: int) -> bool:
    """Return whether a description has too many values, with aliases expanded."""
    waiting = [described]
    for _ in range(limit):
        if not waiting or len(waiting) > limit:
            break
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple, set)):
            waiting.extend(value)
    return bool(waiting)


@contextmanager
def packed(model: MlflowModel) -> Iterator[Path]:
    """Provide a model.tar.gz with the model's file inside the context.

    The same file gives the same bytes.
    """
    with tempfile.TemporaryDirectory(prefix="fleetscore-mlflow-") as folder:
        path = Path(folder) / ARTIFACT_NAME
        member = tarfile.TarInfo(model.file.name)
        member.size = model.file.stat().st_size
        with (
            gzip.GzipFile(path, "wb", mtime=0) as packer,
            tarfile.open(fileobj=packer, mode="w") as archive,
            model.file.open("rb") as content,
        ):
            archive.addfile(member, content)
        yield path


def _sklearn(flavor: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Path]:
    how = flavor.get("serialization_format", "pickle")
    if how not in (*_PICKLES, "skops"):
        raise _refused(how, f"one of the serialization formats {', '.join(_PICKLES)}, skops")
    file = _file(folder, flavor.get("pickled_model"), "sklearn: pickled_model")
    fields = {
        "format": "sklearn-skops" if how == "skops" else "sklearn-joblib",
        "model_file": file.name,
        "framework_version": str(flavor.get("sklearn_version") or ""),
    }
    return fields, file


def _xgboost(flavor: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Path]:
    file = _file(folder, flavor.get("data"), "xgboost: data")
    with file.open("rb") as content:
        beginning = content.read(64)
    if not beginning.startswith(b"{"):
        remedy = "Load it in XGBoost, save it as .ubj, and register that file."
        raise _refused(str(file), "a model in XGBoost's JSON or UBJSON, not in its old binary format", remedy)
    kind = "json" if beginning[1:].lstrip().startswith(b'"') else "ubj"
    # MLflow names the class that wrote the file, except when `log_model` got a Booster.
    wrapper = str(flavor.get("model_class") or "xgboost.core.Booster").startswith("xgboost.sklearn.")
    declared = f"xgboost-sklearn-{kind}" if wrapper else f"xgboost-{kind}"
    return {
        "format": declared,
        "model_file": file.name,
        "framework_version": str(flavor.get("xgb_version") or ""),
    }, file


def _lightgbm(flavor: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Path]:
    file = _file(folder, flavor.get("data"), "lightgbm: data")
    if str(flavor.get("model_class") or "").startswith("lightgbm.sklearn."):
        # The file is a pickle of the wrapper, which is a scikit-learn estimator.
        return {"format": "sklearn-joblib", "model_file": file.name}, file
    version = str(flavor.get("lb_version") or "")
    return {"format": "lightgbm-text", "model_file": file.name, "framework_version": version}, file


def _catboost(flavor: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Path]:
    file = _file(folder, flavor.get("data"), "catboost: data")
    if flavor.get("save_format", "cbm") != "cbm":
        remedy = "Load it in CatBoost, save it as .cbm, and register that file."
        raise _refused(flavor.get("save_format"), "the save_format cbm", remedy)
    version = str(flavor.get("catboost_version") or "")
    return {"format": "catboost-cbm", "model_file": file.name, "framework_version": version}, file


def _onnx(flavor: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Path]:
    file = _file(folder, flavor.get("data"), "onnx: data")
    version = str(flavor.get("onnx_version") or "")
    return {"format": "onnx", "model_file": file.name, "framework_version": version}, file


_FLAVORS = {"sklearn": _sklearn, "xgboost": _xgboost, "lightgbm": _lightgbm, "catboost": _catboost, "onnx": _onnx}
"""Readers by flavor, in order of precedence for folders with several flavors."""


def _file(folder: Path, name: object, field: str) -> Path:
    if not isinstance(name, str) or check_object_key(field, name):
        raise InvalidInputError("mlflow", [Problem(field, name, "the path of a file in the folder")])
    path = folder / PurePosixPath(name)
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidInputError("mlflow", [Problem(field, name, "a file in the folder")])
    return path


def _features(signature: object) -> tuple[list[dict[str, Any]] | None, list[Problem]]:
    """Return the signature's columns as features, None without names, and their problems."""
    text = signature.get("inputs") if isinstance(signature, dict) else None
    if text is None:
        return None, []
    try:
        columns = parse_json(text) if isinstance(text, str) else text
    except JsonError as error:
        return None, [Problem("signature: inputs", text, f"JSON text, but {error}")]
    if not isinstance(columns, list) or not all(isinstance(column, dict) for column in columns):
        return None, [Problem("signature: inputs", columns, "a list of columns")]
    if any(column.get("type") == "tensor" or "name" not in column for column in columns):
        # The signature is a matrix, whose columns have no names.
        return None, []
    problems: list[Problem] = []
    features: list[dict[str, Any]] = []
    for column in columns:
        kind = column.get("type")
        if kind not in _TYPES:
            problems.append(Problem(f"signature: {column['name']}", kind, f"one of {', '.join(_TYPES)}"))
        required = column.get("required", not column.get("optional", False))
        features.append({"name": column["name"], "type": _TYPES.get(str(kind), "double"), "nullable": not required})
    return features, problems


def _refused(value: object, expected: str, remedy: str = "") -> InvalidInputError:
    return InvalidInputError("mlflow", [Problem("--mlflow", value, expected, remedy)])
