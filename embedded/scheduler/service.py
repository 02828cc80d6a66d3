"""The schedules of EventBridge Scheduler: due times, and the delivery to targets."""

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from botocore.exceptions import ClientError

from contract.problems import InvalidInputError
from contract.triggers.schedule_expression import At, parse_expression
from contract.triggers.time_zones import is_known
from embedded.ministack.events.schedules import Record, Refusal

SWEEP_SECONDS = 0.2
"""Time between two sweeps over all schedules."""
SOURCE = "aws.scheduler"
"""Source of the deliveries, by which faults name them."""
_OLDEST_START = timedelta(minutes=5)
"""How long a StartDate may have passed, by the text of AWS's refusal."""
_LONGEST_INPUT_BYTES = 262_144
"""Largest Input of a target, in bytes."""
_SERVICE = "scheduler.amazonaws.com"
_VALIDATION = "ValidationException"

logger = logging.getLogger("embedded.scheduler")


class RoleClients(Protocol):
    """Returns an AWS client of a service that acts as a role."""

    def __call__(self, role_arn: str, service: str, /) -> Any: ...


@dataclass
class _Progress:
    """Progress of a schedule. All of its times up to `seen` are handled or in `due`."""

    created: datetime
    seen: datetime
    expression: str
    due: list[tuple[datetime, datetime]] = field(default_factory=list)
    """Times that wait for their delivery in a flexible window: (when to fire, scheduled time)."""


class SchedulerService:
    """The schedules of all accounts and Regions of the embedded AWS."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        schedules: Callable[[], Iterable[Record]],
        remove: Callable[[Record], None],
        may_assume: Callable[[str, str], bool],
        client_for_role: RoleClients,
        queue_url: Callable[[str], str],
        deliver: Callable[[str, str, Callable[[], None]], object] = lambda _schedule, _target_arn, invoke: invoke(),
    ) -> None:
        self._now = now
        self._schedules = schedules
        self._remove = remove
        self._may_assume = may_assume
        self._client_for_role = client_for_role
        self._queue_url = queue_url
        self._deliver = deliver
        self._progress: dict[str, _Progress] = {}
        self._last_sweep: datetime | None = None

    def check(self, request: Record) -> Refusal | None:
        """Return why CreateSchedule or UpdateSchedule refuses a request; None if it is accepted.

        ministack has already checked for missing fields.
        """
        expression, zone = request.get("ScheduleExpression") or "", request.get("ScheduleExpressionTimezone") or "UTC"
        try:
            parse_expression("ScheduleExpression", expression)
        except InvalidInputError:
            return _VALIDATION, f"Invalid Schedule Expression {expression}."
        if not is_known(zone):
            return _VALIDATION, f"Provided timezone {zone} is not supported."
        window = request.get("FlexibleTimeWindow") or {}
        minutes = window.get("MaximumWindowInMinutes")
        if (window.get("Mode") == "FLEXIBLE") != (minutes is not None) or not 1 <= (minutes or 1) <= 1_440:
            return (
                _VALIDATION,
                "FlexibleTimeWindow: MaximumWindowInMinutes must be 1 to 1440 for FLEXIBLE and absent for OFF.",
            )
        start = _parse_date(request.get("StartDate"))
        if start is not None and start < self._now() - _OLDEST_START:
            return _VALIDATION, "The StartDate you specify cannot be earlier than 5 minutes ago."
        return self._check_target(request.get("Target") or {})

    def _check_target(self, target: Record) -> Refusal | None:
        if ":lambda:" not in target.get("Arn", "") or not target.get("Input"):
            return _VALIDATION, "Target: the embedded AWS supports Lambda functions with an Input only."
        text = target["Input"]
        if len(text.encode()) > _LONGEST_INPUT_BYTES:
            length = f"Member must have length less than or equal to {_LONGEST_INPUT_BYTES}"
            where = "1 validation error detected: Value at 'target.input' failed to satisfy constraint"
            return _VALIDATION, f"{where}: {length}"
        if not _is_json(text):
            return _VALIDATION, "Invalid RequestJson provided. Reason: the Input of a Lambda target must be JSON."
        role_arn = target.get("RoleArn", "")
        if not self._may_assume(role_arn, _SERVICE):
            return (
                _VALIDATION,
                "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
            )
        return None

    def sweep(self) -> None:
        """Fire all times that have become due since the last sweep."""
        now = self._now()
        if self._last_sweep is not None and now < self._last_sweep:
            # The clock was set back, so times after `now` fire again.
            self._progress.clear()
        self._last_sweep = now
        records = {record["Arn"]: record for record in self._schedules()}
        for arn in set(self._progress) - set(records):
            del self._progress[arn]
        for arn, record in records.items():
            self._process(arn, record, now)

    def _process(self, arn: str, record: Record, now: datetime) -> None:
        progress = self._progress.get(arn)
        if progress is None or progress.expression != record["ScheduleExpression"]:
            # AWS documents that a rate fires as soon as it is created: include its first time.
            at_once = timedelta(microseconds=1 if record["ScheduleExpression"].startswith("rate") else 0)
            progress = _Progress(now, now - at_once, record["ScheduleExpression"])
            self._progress[arn] = progress
        since, progress.seen = progress.seen, now
        start, end = _parse_date(record.get("StartDate")), _parse_date(record.get("EndDate"))
        expression = parse_expression("ScheduleExpression", record["ScheduleExpression"])
        zone = ZoneInfo(record.get("ScheduleExpressionTimezone") or "UTC")
        for scheduled in expression.times_after(since, zone, start or progress.created):
            if scheduled > now or (end is not None and scheduled > end):
                break
            # A paused schedule skips its times and does not catch up later.
            if record.get("State") == "ENABLED" and (start is None or scheduled >= start):
                progress.due.append((scheduled + _delay(record, scheduled), scheduled))
        ready = [times for times in progress.due if times[0] <= now]
        progress.due = [times for times in progress.due if times[0] > now]
        for _, scheduled in ready:
            self._fire(record, scheduled)
        completed = (end is not None and now > end) or (isinstance(expression, At) and bool(ready))
        if completed and not progress.due and record.get("ActionAfterCompletion") == "DELETE":
            self._remove(record)

    def _fire(self, record: Record, scheduled: datetime) -> None:
        self._deliver(record["Name"], record["Target"]["Arn"], lambda: self._invoke(record, scheduled))

    def _invoke(self, record: Record, scheduled: datetime) -> None:
        target = record["Target"]
        body = _replace_context_attributes(target["Input"], record["Arn"], scheduled)
        try:
            functions = self._client_for_role(target["RoleArn"], "lambda")
            functions.invoke(FunctionName=target["Arn"], InvocationType="Event", Payload=body.encode())
        except ClientError as failure:
            logger.warning("schedule %s: not delivered: %s", record["Arn"], failure)
            self._send_to_dead_letter_queue(record, body, failure.response["Error"])

    def _send_to_dead_letter_queue(self, record: Record, body: str, error: dict[str, str]) -> None:
        """Send an undelivered message to the dead-letter queue at once.

        The delivery is not retried, because local errors are permanent.
        """
        target = record["Target"]
        queue_arn = (target.get("DeadLetterConfig") or {}).get("Arn")
        if not queue_arn:
            return
        attributes = {
            "ERROR_CODE": error.get("Code", ""),
            "ERROR_MESSAGE": error.get("Message", ""),
            "SCHEDULE_ARN": record["Arn"],
            "TARGET_ARN": target["Arn"],
        }
        try:
            queues = self._client_for_role(target["RoleArn"], "sqs")
            queues.send_message(
                QueueUrl=self._queue_url(queue_arn),
                MessageBody=body,
                MessageAttributes={
                    key: {"DataType": "String", "StringValue": value or "-"} for key, value in attributes.items()
                },
            )
        except ClientError:
            logger.exception("schedule %s: its dead-letter queue refused the message", record["Arn"])


def _replace_context_attributes(text: str, arn: str, scheduled: datetime) -> str:
    """Return the target's input with its context attributes replaced."""
    values = {
        "<aws.scheduler.schedule-arn>": arn,
        "<aws.scheduler.scheduled-time>": f"{scheduled.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "<aws.scheduler.execution-id>": str(uuid.uuid4()),
        "<aws.scheduler.attempt-number>": "1",
    }
    for attribute, value in values.items():
        text = text.replace(attribute, json.dumps(value)[1:-1])
    return text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _delay(record: Record, scheduled: datetime) -> timedelta:
    """Return the delay within the flexible window, a pure function of schedule and time."""
    window = record.get("FlexibleTimeWindow") or {}
    if window.get("Mode") != "FLEXIBLE":
        return timedelta()
    digest = hashlib.sha256(f"{record['Arn']} {scheduled.isoformat()}".encode()).digest()
    seconds = int(window["MaximumWindowInMinutes"]) * 60
    return timedelta(seconds=int.from_bytes(digest[:8], "big") % seconds)


def _parse_date(value: Any) -> datetime | None:
    """Parse a StartDate or EndDate: epoch seconds in the API, ISO 8601 in a template."""
    if value is None:
        return None
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    moment = datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
