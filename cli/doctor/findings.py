"""Findings of checks, and the run of checks. A failed call is an error, never a pass."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cli.failures import describe, error_code

_THREADS = 8
_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403", "Forbidden"}
)
_ACTION = re.compile(r"perform: ([A-Za-z0-9-]+:\w+)")
_ACTIONS = {
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "GetLayerVersionByArn": "lambda:GetLayerVersion",
}
"""The IAM action of operations that have another name, for errors that do not name the action."""


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    """Works, but not as well or as safely as it should."""
    ERROR = "error"
    """Executions will fail, or the check could not be made."""


@dataclass(frozen=True)
class Finding:
    """The result of one check of one subject."""

    check: str
    """Name of the check, such as `quotas.instances`, as docs/why/unverified.md refers to it."""
    level: Level
    subject: str
    """What was checked."""
    found: str
    remedy: str = ""
    """What to do; empty when the level is OK."""


@dataclass(frozen=True)
class Check:
    """A check of one subject that has not been made yet."""

    name: str
    subject: str
    run: Callable[[], Iterable[Finding]]


class Report:
    """Creates the findings of one check of one subject."""

    def __init__(self, check: str, subject: str) -> None:
        self._check = check
        self._subject = subject

    def ok(self, found: str) -> Finding:
        return Finding(self._check, Level.OK, self._subject, found)

    def warning(self, found: str, remedy: str) -> Finding:
        return Finding(self._check, Level.WARNING, self._subject, found, remedy)

    def error(self, found: str, remedy: str) -> Finding:
        return Finding(self._check, Level.ERROR, self._subject, found, remedy)


def run_checks(checks: Sequence[Check]) -> Iterator[Finding]:
    """Make checks in parallel, and yield their findings in the order of the checks."""
    with ThreadPoolExecutor(_THREADS) as threads:
        for findings in threads.map(_carry_out, checks):
            yield from findings


def _carry_out(check: Check) -> list[Finding]:
    report = Report(check.name, check.subject)
    try:
        return list(check.run())
    except ClientError as error:
        return [_refused(report, error)]
    except BotoCoreError as error:
        described = describe(error)
        return [report.error(f"not checked: {described[0] if described else error}", "Run the command again.")]


def _refused(report: Report, error: ClientError) -> Finding:
    if is_denied(error):
        action = denied_action(error)
        return report.error(
            f"not checked: your credentials may not call {action}",
            f"Allow {action}; docs/operate/policies/doctor.json has every action that the checks need.",
        )
    described = describe(error)
    return report.error(f"not checked: {described[0] if described else error}", "Run the command again.")


def is_denied(error: ClientError) -> bool:
    """Return whether the caller lacks a permission."""
    return error_code(error) in _DENIED


def denied_action(error: ClientError) -> str:
    """Return the IAM action that a refused call needs."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    if found := _ACTION.search(message):
        return found[1]
    operation = str(error.operation_name)
    return _ACTIONS.get(operation, operation)


def names(values: Iterable[Any]) -> str:
    """Return values as a list in one line."""
    return ", ".join(map(str, values))
