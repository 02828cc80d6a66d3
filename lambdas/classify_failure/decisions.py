"""Match a failure against the decision table and decide about a retry. Pure functions, no I/O."""

import hashlib
import re
from dataclasses import dataclass

from contract.status import ExecutionKind, FailureKind
from contract.table.explanation import Explanation
from lambdas.attempts.failure_cause import Cause
from lambdas.classify_failure.decision_table import DECISION_TABLE
from lambdas.classify_failure.failure_rule import FailureRule, Retry
from lambdas.shown_text import shorten

MAX_WAIT_SECONDS = 900
MAX_REASON_CHARACTERS = 1_000
_MAX_MESSAGE_CHARACTERS = 560
LOG_GROUPS = {
    ExecutionKind.SCORING: "/aws/sagemaker/ProcessingJobs",
    ExecutionKind.TRAINING: "/aws/sagemaker/TrainingJobs",
}
_NO_PROGRESS = {
    ExecutionKind.SCORING: "no object was committed in that time",
    ExecutionKind.TRAINING: "no checkpoint was written in that time",
}
_NO_LIMIT = re.compile(r"account-level service[ -]limit .{0,200}?\b(is|of) 0(\.0+)? ")
_DELTA_ABOVE_LIMIT = re.compile(r"request delta of .{1,200}is greater than the account-level service-limit")
_LIMIT_AND_DELTA = re.compile(
    r"account-level service limit .{1,200}? is (?P<limit>[\d,]{1,20}(\.\d{1,9})?) .{1,200}?"
    r"request delta of (?P<delta>[\d,]{1,20}(\.\d{1,9})?)"
)
_EXIT_PREFIX = re.compile(r"(?<![A-Z_])(CONFIGURATION|MODEL|DATA|TRANSIENT|UNKNOWN):")


@dataclass(frozen=True)
class Decision:
    """Whether a failed job gets another attempt, and why it failed."""

    try_again: bool
    wait_seconds: int
    kind: FailureKind
    reason: str
    explanation: Explanation


def find_rule(error: str, cause: Cause) -> FailureRule:
    """Return the first rule of the decision table that matches."""
    text = "\n".join((error, cause.exit_message, cause.failure_reason, cause.message))
    prefixes = _exit_prefixes(cause)
    return next(rule for rule in DECISION_TABLE if _matches(rule, error, cause, text, prefixes))


def _exit_prefixes(cause: Cause) -> frozenset[str]:
    """Return the failure kinds in the containers' messages, which arrive as one text without
    separators.
    """
    for text in (cause.exit_message, cause.failure_reason.removeprefix("AlgorithmError:").strip()):
        if _EXIT_PREFIX.match(text):
            return frozenset(_EXIT_PREFIX.findall(text))
    return frozenset()


def _matches(rule: FailureRule, error: str, cause: Cause, text: str, prefixes: frozenset[str]) -> bool:
    return (
        (not rule.errors or error in rule.errors)
        and (not rule.statuses or cause.status in rule.statuses)
        and (not rule.exit_prefix or rule.exit_prefix in prefixes)
        and (not rule.ran_out_of_time or cause.ran_out_of_time)
        and (not rule.waited_too_long or cause.waited_too_long)
        and (not rule.above_limit or is_above_limit(text))
        and (rule.pattern is None or rule.pattern.search(text) is not None)
    )


def is_above_limit(text: str) -> bool:
    """Return whether SageMaker refused a request that alone is above a limit of the account.

    A request that is below the limit is refused too while other jobs run; that passes.
    """
    if _DELTA_ABOVE_LIMIT.search(text) or _NO_LIMIT.search(text):
        return True
    found = _LIMIT_AND_DELTA.search(text)
    return found is not None and _number(found["delta"]) > _number(found["limit"])


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def decide(
    rule: FailureRule,
    *,
    message: str,
    attempt: int,
    max_attempts: int,
    earlier_kinds: tuple[FailureKind | None, ...],
    made_progress: bool,
    job_key: str,
    sagemaker_job_name: str,
    job_kind: ExecutionKind = ExecutionKind.SCORING,
) -> Decision:
    """Decide whether a job gets another attempt after a failure that the rule matches.

    Deterministic: a duplicate call returns the same decision.

    `earlier_kinds` are the failure kinds of the attempts before this one. `made_progress` is True
    when this attempt committed an object or wrote a checkpoint. `job_key` spreads the waits of jobs
    that failed at the same moment.
    """
    can_help = {
        Retry.NO: False,
        Retry.YES: True,
        Retry.ONCE: rule.kind not in earlier_kinds,
        Retry.WITH_PROGRESS: made_progress,
    }[rule.retry]
    kind = rule.kind
    if rule.retry is Retry.WITH_PROGRESS and not made_progress:
        kind = FailureKind.CONFIGURATION
        message = f"{message}; {_NO_PROGRESS[job_kind]}, so another attempt would fail again"
    try_again = can_help and attempt < max_attempts
    what = message if message.startswith(f"{kind.value}:") else f"{kind.value}: {message or rule.name}"
    tried = f"Attempt {attempt} of at most {max_attempts}" + (", the last one" if can_help and not try_again else "")
    # Nothing is to be done by hand before the last attempt has failed.
    remedy = _remedy(rule, job_kind)
    advice = "Another attempt follows" if try_again else remedy
    return Decision(
        try_again=try_again,
        wait_seconds=wait_seconds(rule.base_seconds, attempt, job_key) if try_again else 0,
        kind=kind,
        reason=_reason(what, advice, tried, sagemaker_job_name, LOG_GROUPS[job_kind]),
        explanation=Explanation(rule.name, _one_line(message), "" if try_again else remedy),
    )


def wait_seconds(base_seconds: int, attempt: int, job_key: str) -> int:
    """Return an exponential wait in seconds. Half of it is jitter, a digest of job and attempt.

    The jitter is deterministic, so a duplicate call waits as long as the first.
    """
    longest = min(base_seconds << (attempt - 1), MAX_WAIT_SECONDS)
    digest = hashlib.sha256(f"{job_key}\n{attempt}".encode()).digest()
    jitter = int.from_bytes(digest[:4]) / 2**32
    return max(1, round(longest * (0.5 + 0.5 * jitter)))


def _remedy(rule: FailureRule, job_kind: ExecutionKind) -> str:
    return rule.training_remedy or rule.remedy if job_kind is ExecutionKind.TRAINING else rule.remedy


def _one_line(message: str) -> str:
    return shorten(" ".join(message.split()), _MAX_MESSAGE_CHARACTERS)


def _reason(what: str, remedy: str, tried: str, job_name: str, log_group: str) -> str:
    what = _one_line(what).rstrip(".")
    where = f" Logs: log group {log_group}, streams {job_name}/*." if job_name else ""
    return shorten(f"{what}. {remedy}. {tried}.{where}", MAX_REASON_CHARACTERS)
