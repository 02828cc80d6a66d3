"""The version that a model was trained with, held against the library that is here, and what the library warns of.

A library that cannot read a model says so itself or by its rules, and then the model is refused. What it only warns of
is reported: the warnings become notes of the model, which the ledger carries into the execution's summary.
"""

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from contract.catalog.model_formats import Framework
from contract.catalog.model_spec import ModelSpec
from scoring.errors import ModelError

_MODULES: dict[Framework, str] = {
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "tensorflow": "tensorflow",
    "pytorch": "torch",
}
"""Frameworks whose version can be compared. An ONNX file names its operators' versions, which the runtime checks."""

_NAMES = {
    "sklearn": "scikit-learn",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
    "tensorflow": "TensorFlow",
    "pytorch": "PyTorch",
}
_PICKLED: frozenset[Framework] = frozenset({"sklearn"})
"""Saved as the library's own objects: scikit-learn promises nothing for any other version and warns of each. The
others' files are read by every later version, but not surely by an earlier one."""

_MOST_NOTES = 6
_NOTE_CHARACTERS = 300
_SILENT = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning, ImportWarning)
"""Of interest to whoever writes the library or this code, not to whoever scores with the model."""


def installed_version(framework: Framework) -> str:
    """Of the framework's library where it is imported; empty when there is none to compare with."""
    return str(getattr(sys.modules.get(_MODULES.get(framework, "")), "__version__", ""))


def check_pinned_version(spec: ModelSpec) -> list[str]:
    """What is to be reported about the version that the record pins; nothing when it is the one that is here.

    Raises ModelError when the framework does not read models of that version.
    """
    pinned, installed = spec.framework_version, installed_version(spec.framework)
    if not pinned or not installed or pinned == installed:
        return []
    theirs, ours = _numbers(pinned), _numbers(installed)
    name = _NAMES[spec.framework]
    if not theirs:
        return [f"framework_version {pinned!r} is no version number, so it was not held against {name} {installed}"]
    if not ours:
        return []
    pickled = spec.framework in _PICKLED
    if theirs[0] > ours[0] or (pickled and theirs[0] != ours[0]):
        why = "promises nothing between major versions" if pickled else "reads files of earlier versions, not of later"
        raise ModelError(
            f"model {spec.model_id!r}: its record says that it was trained with {name} {pinned}, this image has "
            f"{installed}, and {name} {why}: train it with {name} {ours[0]}.x and register a new version, or deploy an "
            "image with its version"
        )
    same = theirs == ours[: len(theirs)]
    if same or (not pickled and theirs <= ours):
        return []
    return [f"trained with {name} {pinned}, scored with {installed}"]


def both_versions(spec: ModelSpec) -> str:
    """What record and image say of the version, for the text of a failure; empty when neither says anything."""
    pinned, installed = spec.framework_version, installed_version(spec.framework)
    said = [
        f"the record says {spec.framework} {pinned}" if pinned else "",
        f"the image has {installed}" if installed else "",
    ]
    return f" ({', '.join(filter(None, said))})" if any(said) else ""


@contextmanager
def heard_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """The warnings of a library while it loads a model; they are written to the log afterwards as ever."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield heard
    for item in heard:
        sys.stderr.write(warnings.formatwarning(item.message, item.category, item.filename, item.lineno))


def sum_up_notes(spec: ModelSpec, notes: Sequence[str], heard: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """Notes and warnings as a few short lines, each once."""
    said = [item for item in heard if not issubclass(item.category, _SILENT)]
    lines = list(notes)
    if any(item.category.__name__ == "InconsistentVersionWarning" for item in said):
        # The library names the version that it found in the file, which is surer than what the record says.
        lines = [line for line in lines if not line.startswith("trained with")]
    lines += [f"{item.category.__name__}: {item.message}" for item in said]
    short = list(dict.fromkeys(_shorten(line) for line in lines))
    if len(short) > _MOST_NOTES:
        short = [*short[: _MOST_NOTES - 1], f"and {len(short) - _MOST_NOTES + 1} more warnings, see the job's log"]
    return tuple(short)


def _shorten(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= _NOTE_CHARACTERS else line[: _NOTE_CHARACTERS - 1].rstrip() + "…"


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (1, 2) for "1.2-1", which is how SageMaker names its containers' versions."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
