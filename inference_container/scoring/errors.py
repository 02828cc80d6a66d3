"""Errors of a scoring job, one class per failure kind of the workflow.

The rule for all texts about failures, in scoring and in training: a reason leaves the container, in
its exit message, and from there reaches records, events and logs of functions. So a reason names
the exception's type and the place: object, row number, column, model, and line of the code. It
never has an exception's text or a value of the data. Those go to two places: the quarantine file
(column `reason`) and the job's log.

Errors of loading a model keep their text: a model is loaded and tried before any data is read, so
that text is about the artifact. Column names, object keys, model ids and class names are not values.
"""

import errno
import os
import re
import sys
import traceback
from pathlib import PurePath
from types import CodeType
from typing import Any, NamedTuple

from contract.control_characters import replace_control_characters
from contract.status import FailureKind
from scoring.job_log.events import ERROR_EVENT, event_line, write_log
from scoring.job_log.fields import job_fields

IN_LOG = "its text is in the job's log"
"""What a reason says about an exception whose text it leaves out."""

MORE_ROOM = "raise the job's volume size"
"""Remedy for a full disk. Unfinished work is where most bytes are free, which then is the volume."""

_OWN_PACKAGES = frozenset({"contract", "launcher", "scoring", "training"})
_LIBRARY_FOLDERS = frozenset({"site-packages", "dist-packages"})
_STANDARD_LIBRARY = PurePath(os.__file__).parent
_RAISING_FUNCTIONS = frozenset({"check_status", "_check_call", "_safe_call"})
"""Functions of Arrow, XGBoost and LightGBM that raise the errors of all their other functions."""
_MAX_NAME_CHARACTERS = 120
_MAX_TRACEBACK_CHARACTERS = 16_000
"""An exception's text may be as long as the data."""
BAD_ROWS = re.compile(r"; (?:at least )?[\d,]+(?: of [\d,]+)? rows are bad")
"""The number of bad rows in a failure's text, by which objects differ that failed alike."""


class Reason(NamedTuple):
    """Why a row cannot be scored."""

    text: str
    """Without values of the data; see the rule above."""
    detail: str = ""
    """The value or the exception's text, for the quarantine file and the job's log only."""
    remedy: str = ""
    """What to do; empty if the data or the model is to be corrected."""


class ScoringError(Exception):
    """Base of all expected failures; the workflow decides by `kind` whether to retry the job."""

    kind: FailureKind = FailureKind.UNKNOWN

    def __init__(self, text: str, detail: str = "") -> None:
        """`text` leaves the container; `detail` may hold values of the data and is only logged."""
        self.text = text
        super().__init__(text)
        if detail:
            self.add_note(f"Detail: {detail}")


class ConfigurationError(ScoringError):
    """The job spec cannot be carried out; the model's record or the request must change."""

    kind = FailureKind.CONFIGURATION


class ModelError(ScoringError):
    """The artifact differs from its record, or the model's code failed."""

    kind = FailureKind.MODEL


class DataError(ScoringError):
    """An object is damaged or lacks what the models need."""

    kind = FailureKind.DATA


class LateFieldsError(DataError):
    """A line of JSON Lines has a field that the object's beginning lacks and the output must keep.

    The object can be read with `JobInput.finds_all_fields`.
    """

    def __init__(self, key: str) -> None:
        super().__init__(
            f"object {key!r} has a field that no line of its beginning has, so the output has no column for it"
        )


class TransientError(ScoringError):
    """A failure outside the data and the models; another attempt may succeed."""

    kind = FailureKind.TRANSIENT


def describe_error(error: BaseException) -> str:
    """Return an exception's type and where it was raised, without its text.

    The place is the last line of the model's own code, or the last function of a library. An
    OSError also has the system's text for its error number.

    >>> describe_error(ValueError("could not convert '123-45-6789'"))
    'ValueError'
    """
    described = _shortened(type(error).__name__)
    if isinstance(error, OSError) and isinstance(error.errno, int):
        described += f" ({os.strerror(error.errno)})"
    place = _place(error)
    return f"{described} {place}" if place else described


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error says that a disk has no room left, or that a quota is used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def unforeseen(error: BaseException) -> ScoringError:
    """Return the failure of a job by an unforeseen error: a full disk, or something unknown."""
    if is_disk_full(error):
        return with_cause(ConfigurationError(f"a disk is full ({describe_error(error)}): {MORE_ROOM}"), error)
    return with_cause(ScoringError(f"{describe_error(error)}; {IN_LOG}"), error)


def _place(error: BaseException) -> str:
    """Return `at inference.py:12`, or `in pandas.io.parsers.read_csv`; empty if never raised."""
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [(frame.f_code, line) for frame, line in frames if _is_model_code(frame.f_code, frame.f_globals)]
    if own:
        code, line = own[-1]
        return f"at {_shortened(PurePath(code.co_filename).name)}:{line}"
    while len(frames) > 1 and frames[-1][0].f_code.co_name.rpartition(".")[2] in _RAISING_FUNCTIONS:
        frames.pop()
    if not frames:
        return ""
    frame = frames[-1][0]
    module, function = str(frame.f_globals.get("__name__", "")), frame.f_code.co_qualname
    # Functions that Cython compiles already have the module in their name.
    return "in " + _shortened(function if function.startswith(f"{module}.") else f"{module}.{function}")


def _is_model_code(code: CodeType, namespace: dict[str, Any]) -> bool:
    """Return whether code is of the artifact: not of this image, of a library, or without a file."""
    path = PurePath(code.co_filename)
    package = str(namespace.get("__name__", "")).partition(".")[0]
    is_library = bool(_LIBRARY_FOLDERS.intersection(path.parts)) or path.is_relative_to(_STANDARD_LIBRARY)
    return path.suffix == ".py" and path.is_absolute() and package not in _OWN_PACKAGES and not is_library


def _shortened(name: str) -> str:
    return name if len(name) <= _MAX_NAME_CHARACTERS else name[:_MAX_NAME_CHARACTERS] + "…"


def one_line(error: BaseException) -> str:
    """Return an exception's class and text as one line: for the log, the quarantine file, and
    errors of loading a model.

    >>> one_line(ValueError("bad\\n value"))
    'ValueError: bad value'
    """
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """Return an exception's text as one line, which may hold values of the data."""
    try:
        text = str(error)
    except Exception as failure:  # of the model's own exception class
        text = f"(its text cannot be read: {type(failure).__name__})"
    return replace_control_characters(" ".join(text.split()))


def log_error(error: BaseException) -> None:
    """Write an error with its traceback, detail and causes to stderr in one call.

    In a job it is one line of JSON.
    """
    text = "".join(traceback.format_exception(error))
    if job_fields():
        write_log(sys.stderr, event_line(ERROR_EVENT, traceback=_within_limit(text)))
    else:
        write_log(sys.stderr, replace_control_characters(text))


def _within_limit(text: str) -> str:
    """Return a traceback that fits into one line of the log, without its middle if it is too long."""
    left_out = len(text) - _MAX_TRACEBACK_CHARACTERS
    half = _MAX_TRACEBACK_CHARACTERS // 2
    return f"{text[:half]}\n… {left_out:,} characters are left out …\n{text[-half:]}" if left_out > 0 else text


def with_cause(error: ScoringError, cause: BaseException | None) -> ScoringError:
    """Return the error with a cause, which is then logged with it."""
    error.__cause__ = cause
    return error


def error_of_kind(kind: FailureKind, text: str, detail: str = "") -> ScoringError:
    """Return the exception for a failure that was sent as kind and text."""
    for cls in (ConfigurationError, ModelError, DataError, TransientError):
        if cls.kind == kind:
            return cls(text, detail)
    return ScoringError(text, detail)
