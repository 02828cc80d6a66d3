"""Groups failures that differ only in names and numbers, so that a thousand of them are one line."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from contract.status import FailureKind

_VARYING = re.compile(
    r"""s3://[^\s'"]+"""
    r"""|\bobject ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")( and [\d,]+ more)?"""
    r"|\b[0-9a-f]{8,}\b"
    # The line of a program stays: other lines are other faults.
    r"|(?<!\.py:)(?<![\w.])\d[\d,.]*\b"
)
"""Parts of a reason that differ between jobs that failed for the same reason."""


@dataclass(frozen=True)
class Failure:
    """A failure of a job or of one of its attempts, or a note on a job."""

    job: str
    """The job as people see it: its id, or that of a split job and the number of the part."""
    text: str
    kind: FailureKind | None = None
    attempt: int = 0
    """Number of the attempt that failed; 0 for the job itself."""
    names: tuple[str, ...] = ()
    """Names in the text that belong to this job only: its ids, models and SageMaker job."""


@dataclass(frozen=True)
class FailureGroup:
    """Failures with the same kind and reason, in their order."""

    failures: tuple[Failure, ...]

    @property
    def first(self) -> Failure:
        return self.failures[0]

    @property
    def same_text(self) -> bool:
        """Return whether the reasons are the same to the letter."""
        return all(failure.text == self.first.text for failure in self.failures)


def group_failures(failures: Iterable[Failure]) -> list[FailureGroup]:
    """Return the failures in groups, those of jobs before those of attempts, the largest first."""
    groups: dict[tuple[int, str | None, str], list[Failure]] = {}
    for failure in failures:
        groups.setdefault((failure.attempt, failure.kind, pattern_of(failure)), []).append(failure)
    ordered = sorted(groups.items(), key=lambda item: (item[0][0] > 0, -len(item[1])))
    return [FailureGroup(tuple(found)) for _, found in ordered]


def pattern_of(failure: Failure) -> str:
    """Return a failure's text without the names and numbers that belong to it alone.

    >>> pattern_of(Failure("churn", "object 'a.csv': row 7 of churn has no 'age'", names=("churn",)))
    "…: row … of … has no 'age'"
    """
    text = failure.text
    for name in sorted(filter(None, failure.names), key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", "…", text)
    return _VARYING.sub("…", text)
