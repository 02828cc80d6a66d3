"""Compares a model's version with the installed one, and collects library warnings.

A model that the library cannot read, or does not guarantee to read, is refused. Warnings become
notes of the model, which the ledger carries into the execution's summary.
"""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from contract.catalog.framework_versions import LIBRARY_NAMES, note_of, refusal_of, version_numbers
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
"""Modules of the frameworks whose versions can be compared."""

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
    name = LIBRARY_NAMES[spec.framework]
    if not version_numbers(pinned):
        return [f"framework_version {pinned!r} is not a version number, so it was not compared with {name} {installed}"]
    if why := refusal_of(spec.framework, pinned, installed):
        major = version_numbers(installed)[0]
        raise ModelError(
            f"model {spec.model_id!r}: its record says that it was trained with {name} {pinned}, this image has "
            f"{installed}, and {why}: train it with {name} {major}.x and register a new version, or deploy an "
            "image with its version"
        )
    note = note_of(spec.framework, pinned, installed)
    return [note] if note else []


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
