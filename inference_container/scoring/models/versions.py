"""Compares a model's version with the installed one, and collects library warnings.

A model that the library cannot read, or does not guarantee to read, is refused. Warnings become
notes of the model, which the ledger carries into the execution's summary.
"""

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from contract.catalog.model_formats import Framework
from contract.catalog.model_spec import ModelSpec
from contract.control_characters import replace_control_characters
from scoring.errors import ModelError

_MODULES: dict[Framework, str] = {
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "tensorflow": "tensorflow",
    "pytorch": "torch",
}
"""Modules of the frameworks whose versions can be compared.

ONNX is missing: the runtime checks the operator versions that the file names.
"""

_NAMES = {
    "sklearn": "scikit-learn",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
    "tensorflow": "TensorFlow",
    "pytorch": "PyTorch",
}
_PICKLED: frozenset[Framework] = frozenset({"sklearn"})
"""Frameworks whose models are pickled objects.

scikit-learn supports only the version that pickled a model, and warns about any other. The files of
the other frameworks can be read by every later version, but not always by an earlier one.
"""

_MAX_NOTES = 6
_MAX_NOTE_CHARACTERS = 300
_SILENT = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning, ImportWarning)
"""Warnings for developers of the library or of this code, not for users of the model."""


def installed_version(framework: Framework) -> str:
    """Return the version of a framework's library; empty if not imported or not comparable."""
    return str(getattr(sys.modules.get(_MODULES.get(framework, "")), "__version__", ""))


def check_pinned_version(spec: ModelSpec) -> list[str]:
    """Return notes about the version that the record pins; none if it is the installed one.

    Raises:
        ModelError: The framework does not read models of that version.
    """
    pinned, installed = spec.framework_version, installed_version(spec.framework)
    if not pinned or not installed or pinned == installed:
        return []
    theirs, ours = _numbers(pinned), _numbers(installed)
    name = _NAMES[spec.framework]
    if not theirs:
        return [f"framework_version {pinned!r} is not a version number, so it was not compared with {name} {installed}"]
    if not ours:
        return []
    pickled = spec.framework in _PICKLED
    if theirs[0] > ours[0] or (pickled and theirs[0] != ours[0]):
        why = "guarantees nothing across major versions" if pickled else "reads files of earlier versions, not of later"
        raise ModelError(
            f"model {spec.model_id!r}: its record says that it was trained with {name} {pinned}, this image has "
            f"{installed}, and {name} {why}: train it with {name} {ours[0]}.x and register a new version, or deploy an "
            "image with its version"
        )
    same = theirs == ours[: len(theirs)]
    if same or (not pickled and theirs <= ours):
        return []
    return [f"trained with {name} {pinned}, scored with {installed}"]


def version_hint(spec: ModelSpec) -> str:
    """Return both versions for an error message; empty if neither is known."""
    pinned, installed = spec.framework_version, installed_version(spec.framework)
    said = [
        f"the record says {spec.framework} {pinned}" if pinned else "",
        f"the image has {installed}" if installed else "",
    ]
    return f" ({', '.join(filter(None, said))})" if any(said) else ""


@contextmanager
def captured_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Capture a library's warnings while it loads a model, and then write them to the log."""
    with warnings.catch_warnings(record=True) as captured:
        warnings.simplefilter("always")
        yield captured
    for item in captured:
        text = warnings.formatwarning(item.message, item.category, item.filename, item.lineno)
        sys.stderr.write(replace_control_characters(text))


def summarize_notes(notes: Sequence[str], captured: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return notes and warnings as a few short lines without duplicates."""
    relevant = [item for item in captured if not issubclass(item.category, _SILENT)]
    lines = list(notes)
    if any(item.category.__name__ == "InconsistentVersionWarning" for item in relevant):
        # This warning names the version in the file, which is more reliable than the record's.
        lines = [line for line in lines if not line.startswith("trained with")]
    lines += [f"{item.category.__name__}: {item.message}" for item in relevant]
    short = list(dict.fromkeys(_shorten(line) for line in lines))
    if len(short) > _MAX_NOTES:
        short = [*short[: _MAX_NOTES - 1], f"and {len(short) - _MAX_NOTES + 1} more warnings, see the job's log"]
    return tuple(short)


def _shorten(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= _MAX_NOTE_CHARACTERS else line[: _MAX_NOTE_CHARACTERS - 1].rstrip() + "…"


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (1, 2) for SageMaker's "1.2-1"."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
