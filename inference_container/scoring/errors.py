"""Why scoring failed, in the kinds that the workflow tells apart."""

import sys
import traceback

from contract.status import FailureKind


class ScoringError(Exception):
    """Base of all failures that the job explains; `kind` decides whether another attempt can help."""

    kind: FailureKind = FailureKind.UNKNOWN

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)


class ConfigurationError(ScoringError):
    """The job spec asks for something that cannot be done: the catalog's record or the request must change."""

    kind = FailureKind.CONFIGURATION


class ModelError(ScoringError):
    """The artifact is not what its record says, or the model's own code failed."""

    kind = FailureKind.MODEL


class DataError(ScoringError):
    """An object is damaged or does not have what the models need."""

    kind = FailureKind.DATA


class TransientError(ScoringError):
    """Something outside of the data and the models went wrong: another attempt may do."""

    kind = FailureKind.TRANSIENT


def one_line(error: BaseException) -> str:
    """An exception's class and text as one line, for messages that cross a process."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def log_error(error: BaseException) -> None:
    """Write an error with its traceback and causes to stderr, in one piece."""
    sys.stderr.write("".join(traceback.format_exception(error)))
    sys.stderr.flush()


def error_of_kind(kind: FailureKind, text: str) -> ScoringError:
    """The exception that stands for a failure which was flattened to kind and text."""
    for cls in (ConfigurationError, ModelError, DataError, TransientError):
        if cls.kind == kind:
            return cls(text)
    return ScoringError(text)
