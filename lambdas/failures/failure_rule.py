"""A rule of the decision table: how one kind of failure is recognized, and whether the job is retried."""

import re
from dataclasses import dataclass
from enum import Enum

from contract.status import FailureKind, Shortage

AGAIN = "{again}"
"""Placeholder in a remedy for how to continue: to resume an execution, or to train again."""
TRANSIENT_SECONDS = 5
"""Wait after a failure that may have passed already, in seconds."""
CAPACITY_SECONDS = 60
"""Wait until other jobs may have freed capacity, in seconds."""


class Retry(Enum):
    """Whether another attempt can help. It starts only if the job has attempts left."""

    NO = "no"
    YES = "yes"
    ONCE = "once"
    """Yes, unless an earlier attempt of the job failed with the same kind of failure."""
    WITH_PROGRESS = "with progress"
    """Yes, if this attempt committed at least one object or wrote a checkpoint, so that the next
    continues there.
    """


@dataclass(frozen=True)
class FailureRule:
    """How one kind of failure is recognized and handled.

    A rule matches when all its conditions that are set match.
    """

    name: str
    kind: FailureKind
    retry: Retry
    remedy: str
    """What the operator can do when no attempt is left. `AGAIN` stands for how to continue."""
    training_remedy: str = ""
    """The same for a training job; empty if it does not differ."""
    shortage: Shortage | None = None
    """What the attempt ran out of. If the next one can get more of it, there is one, whatever
    `retry` says."""
    base_seconds: int = 0
    """Wait before the second attempt, in seconds. It doubles with each further attempt."""
    errors: frozenset[str] = frozenset()
    """Error names, as a Catch reports them."""
    statuses: frozenset[str] = frozenset()
    """Values of ProcessingJobStatus or TrainingJobStatus."""
    exit_prefix: str = ""
    """Failure kind at the beginning of the container's exit message, up to the colon."""
    pattern: re.Pattern[str] | None = None
    """Pattern to search for in the whole text of the failure."""
    ran_out_of_time: bool = False
    waited_too_long: bool = False
    waits: bool = False
    """Whether a job that SageMaker refuses to create for this reason waits, which uses up no attempt."""
    above_limit: bool = False
    """Whether the request alone is above a limit of the account, so that waiting cannot help."""


def any_of(*words: str) -> re.Pattern[str]:
    """Return a pattern that matches any of the patterns, in upper or lower case."""
    return re.compile("|".join(words), re.IGNORECASE)
