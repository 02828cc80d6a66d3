"""Errors of a scoring job, one class per failure kind of the workflow."""

import sys
import traceback

from contract.status import FailureKind


class ScoringError(Exception):
    """Base of all expected failures; the workflow decides by `kind` whether to retry the job."""

    kind: FailureKind = FailureKind.UNKNOWN

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)


class ConfigurationError(ScoringError):
    """The job spec cannot be carried out; the model's record or the request must change."""

    kind = FailureKind.CONFIGURATION


class ModelError(ScoringError):
    """The artifact differs from its record, or the model's code failed."""

    kind = FailureKind.MODEL


class DataError(ScoringError):
    """An object is damaged or lacks what the models need."""

    kind = FailureKind.DATA


class TransientError(ScoringError):
    """A failure outside the data and the models; another attempt may succeed."""

    kind = FailureKind.TRANSIENT


def one_line(error: BaseException) -> str:
    """Return an exception's class and text as one line, for messages between processes.

    >>> one_line(ValueError("bad\\n value"))
    'ValueError: bad value'
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def log_error(error: BaseException) -> None:
    """Write an error with its traceback and causes to stderr in one call."""
    sys.stderr.write("".join(traceback.format_exception(error)))
    sys.stderr.flush()


def error_of_kind(kind: FailureKind, text: str) -> ScoringError:
    """Return the exception for a failure that was sent as kind and text."""
    for cls in (ConfigurationError, ModelError, DataError, TransientError):
        if cls.kind == kind:
            return cls(text)
    return ScoringError(text)
