"""Match a failure against the decision table and decide about a retry. Pure functions, no I/O."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.log_groups import LOG_GROUPS
from contract.status import ExecutionKind, FailureKind, Shortage
from contract.table.explanation import Explanation
from contract.table.records import AttemptRecord, JobRecord
from lambdas.attempts.adaptation import difference, settings_after, settings_of
from lambdas.attempts.failure_cause import Cause
from lambdas.continuing import how_to_continue
from lambdas.failures.decision_table import DECISION_TABLE
from lambdas.failures.failure_rule import AGAIN, FailureRule, Retry
from lambdas.shown_text import shorten

MAX_WAIT_SECONDS = 900
MAX_REASON_CHARACTERS = 1_000
MAX_CAUSE_CHARACTERS = 560
_NO_PROGRESS = {
    ExecutionKind.SCORING: "no object was committed in that time",
    ExecutionKind.TRAINING: "no checkpoint was written in that time",
}
_NO_MORE: Mapping[Shortage, Mapping[ExecutionKind, str]] = {
    Shortage.TIME: _NO_PROGRESS,
    Shortage.MEMORY: {
        ExecutionKind.SCORING: "batches are as small as they may be, and no larger instance type is named",
        ExecutionKind.TRAINING: "no larger instance type is named",
    },
    Shortage.DISK_SPACE: dict.fromkeys(ExecutionKind, "the settings allow no larger volume"),
}
"""Why the next attempt would not get more of something."""
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
    job: JobRecord,
    attempt: int,
    earlier: Sequence[AttemptRecord],
    made_progress: bool,
    sagemaker_job_name: str,
) -> Decision:
    """Decide whether a job gets another attempt after a failure that the rule matches.

    Deterministic: a duplicate call returns the same decision.

    `earlier` are the records of the attempts before this one. `made_progress` is True when this
    attempt committed an object or wrote a checkpoint.
    """
    change = _change(rule, job, attempt, earlier)
    can_help = (
        bool(change)
        or {
            Retry.NO: False,
            Retry.YES: True,
            Retry.ONCE: all(record.failure_kind is not rule.kind for record in earlier),
            Retry.WITH_PROGRESS: made_progress,
        }[rule.retry]
    )
    kind = rule.kind
    if not can_help and rule.shortage is not None:
        kind = FailureKind.CONFIGURATION
        message = f"{_without_kind(message)}; {_NO_MORE[rule.shortage][job.kind]}, so another attempt would fail again"
    try_again = can_help and attempt < job.max_attempts
    what = message if message.startswith(f"{kind.value}:") else f"{kind.value}: {_without_kind(message) or rule.name}"
    remedy = "" if try_again else remedy_of(rule, job)
    if try_again:
        # Nothing is to be done by hand before the last attempt has failed.
        next_step = f"Another attempt follows, {attempt + 1} of at most {job.max_attempts}"
        next_step += f", with {change}" if change else ""
    else:
        next_step = remedy
        if can_help:
            next_step += f". This was attempt {attempt} of at most {job.max_attempts}, the last one"
    return Decision(
        try_again=try_again,
        wait_seconds=wait_seconds(rule.base_seconds, attempt, f"{job.execution_id}\n{job.job_id}") if try_again else 0,
        kind=kind,
        reason=_reason(what, next_step, sagemaker_job_name, LOG_GROUPS[job.sagemaker_kind]),
        explanation=Explanation(rule.name, _one_line(message), remedy, rule.shortage),
    )


def _change(rule: FailureRule, job: JobRecord, attempt: int, earlier: Sequence[AttemptRecord]) -> str:
    """Return what the next attempt gets more of, in words; empty if nothing."""
    if rule.shortage is None or rule.shortage is Shortage.TIME:
        return ""
    settings = settings_of(job, attempt, earlier)
    following = settings_after(job.compute, settings, attempt, rule.shortage)
    return "" if following is None else difference(settings, following)


def _without_kind(message: str) -> str:
    """Return a container's message without the kind, of which the decision may be another."""
    found = _EXIT_PREFIX.match(message)
    return message if found is None else message[found.end() :].strip()


def wait_seconds(base_seconds: int, attempt: int, job_key: str) -> int:
    """Return an exponential wait in seconds. Half of it is jitter, a digest of job and attempt.

    The jitter is deterministic, so a duplicate call waits as long as the first.
    """
    longest = min(base_seconds << (attempt - 1), MAX_WAIT_SECONDS)
    digest = hashlib.sha256(f"{job_key}\n{attempt}".encode()).digest()
    jitter = int.from_bytes(digest[:4]) / 2**32
    return max(1, round(longest * (0.5 + 0.5 * jitter)))


def remedy_of(rule: FailureRule, job: JobRecord) -> str:
    """Return what is to be done by hand about a job's failure: sentences without the last period."""
    remedy = rule.training_remedy if job.kind is ExecutionKind.TRAINING else ""
    return (remedy or rule.remedy).replace(AGAIN, how_to_continue(job.kind, job.execution_id))


def _one_line(message: str) -> str:
    return shorten(" ".join(message.split()), MAX_CAUSE_CHARACTERS)


def _reason(what: str, next_step: str, job_name: str, log_group: str) -> str:
    """Return the whole reason. Only the failure's message is shortened to make it fit."""
    where = f" Logs: log group {log_group}, streams {job_name}/*." if job_name else ""
    rest = f". {next_step}.{where}"
    return shorten(" ".join(what.split()), MAX_REASON_CHARACTERS - len(rest)).rstrip(".") + rest
