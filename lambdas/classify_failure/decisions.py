"""Why an attempt failed and what is done about it: reads the decision table, does no I/O."""

import hashlib
import re
from dataclasses import dataclass

from contract.status import ExecutionKind, FailureKind
from lambdas.attempts.failure_cause import Cause
from lambdas.classify_failure.decision_table import DECISION_TABLE, Retry, FailureRule
from lambdas.errors import shorten

LONGEST_WAIT_SECONDS = 900
REASON_CHARACTERS = 1_000
LOG_GROUPS = {
    ExecutionKind.SCORING: "/aws/sagemaker/ProcessingJobs",
    ExecutionKind.TRAINING: "/aws/sagemaker/TrainingJobs",
}
_NO_PROGRESS = {
    ExecutionKind.SCORING: "no object was committed in that time",
    ExecutionKind.TRAINING: "no checkpoint was written in that time",
}
_MESSAGE_CHARACTERS = 560
_EXIT_PREFIX = re.compile(r"(?<![A-Z_])(CONFIGURATION|MODEL|DATA|TRANSIENT|UNKNOWN):")


@dataclass(frozen=True)
class Decision:
    """What is done about a failure."""

    try_again: bool
    wait_seconds: int
    kind: FailureKind
    reason: str


def find_rule(error: str, cause: Cause) -> FailureRule:
    """The first row of the decision table that fits."""
    text = "\n".join((error, cause.exit_message, cause.failure_reason, cause.message))
    prefixes = _exit_prefixes(cause)
    return next(row for row in DECISION_TABLE if _fits(row, error, cause, text, prefixes))


def _exit_prefixes(cause: Cause) -> frozenset[str]:
    """What the containers say of themselves. The messages of all instances arrive as one text, joined by nothing."""
    for text in (cause.exit_message, cause.failure_reason.removeprefix("AlgorithmError:").strip()):
        if _EXIT_PREFIX.match(text):
            return frozenset(_EXIT_PREFIX.findall(text))
    return frozenset()


def _fits(row: FailureRule, error: str, cause: Cause, text: str, prefixes: frozenset[str]) -> bool:
    return (
        (not row.errors or error in row.errors)
        and (not row.statuses or cause.status in row.statuses)
        and (not row.exit_prefix or row.exit_prefix in prefixes)
        and (not row.ran_out_of_time or cause.ran_out_of_time)
        and (not row.waited_too_long or cause.waited_too_long)
        and (row.pattern is None or row.pattern.search(text) is not None)
    )


def decide(
    row: FailureRule,
    *,
    message: str,
    attempt: int,
    max_attempts: int,
    earlier_kinds: tuple[FailureKind | None, ...],
    committed: bool,
    job_key: str,
    sagemaker_job_name: str,
    job_kind: ExecutionKind = ExecutionKind.SCORING,
) -> Decision:
    """Decide about a job whose attempt failed in the way of `row`.

    `earlier_kinds` are those of the attempts before this one, `committed` says whether this one got on,
    and `job_key` spreads the waits of jobs that failed at the same moment; the same call gives the same answer.
    """
    can_help = {
        Retry.NO: False,
        Retry.YES: True,
        Retry.ONCE: row.kind not in earlier_kinds,
        Retry.WITH_PROGRESS: committed,
    }[row.again]
    kind = row.kind
    if row.again is Retry.WITH_PROGRESS and not committed:
        kind = FailureKind.CONFIGURATION
        message = f"{message}; {_NO_PROGRESS[job_kind]}, so another attempt would get no further"
    try_again = can_help and attempt < max_attempts
    said = message if message.startswith(f"{kind.value}:") else f"{kind.value}: {message or row.name}"
    tried = f"Attempt {attempt} of at most {max_attempts}" + (", the last one" if can_help and not try_again else "")
    return Decision(
        try_again=try_again,
        wait_seconds=wait_seconds(row.base_seconds, attempt, job_key) if try_again else 0,
        kind=kind,
        reason=_reason(said, row, tried, sagemaker_job_name, LOG_GROUPS[job_kind]),
    )


def wait_seconds(base_seconds: int, attempt: int, job_key: str) -> int:
    """An exponential wait, of which half is spread by a digest of job and attempt.

    A digest and not a random number: a doubled call waits as long as the first.
    """
    whole = min(base_seconds << (attempt - 1), LONGEST_WAIT_SECONDS)
    digest = hashlib.sha256(f"{job_key}\n{attempt}".encode()).digest()
    share = int.from_bytes(digest[:4]) / 2**32
    return max(1, round(whole * (0.5 + 0.5 * share)))


def _reason(said: str, row: FailureRule, tried: str, job_name: str, log_group: str) -> str:
    what = shorten(" ".join(said.split()), _MESSAGE_CHARACTERS).rstrip(".")
    where = f" Logs: log group {log_group}, streams {job_name}/*." if job_name else ""
    return shorten(f"{what}. {row.remedy}. {tried}.{where}", REASON_CHARACTERS)
