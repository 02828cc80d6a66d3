"""Schedules: their fields and checks, and the name of the execution that each scheduled time
starts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from contract import codec
from contract.checks import check_range
from contract.codec import decode_fields
from contract.problems import InvalidInputError, Problem
from contract.triggers.schedule_expression import Expression, Rate, next_time, parse_expression
from contract.triggers.slots import check_template, fill
from contract.triggers.time_zones import check_time_zone
from contract.triggers.triggered_request import check_triggered_request
from contract.workflow.request_size import sent_request

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
"""Placeholder in a target's input that EventBridge Scheduler replaces by the scheduled time, in
UTC."""

LONGEST_WINDOW_MINUTES = 1_440
"""Longest flexible time window, in minutes, that EventBridge Scheduler allows."""
_SPANS = tuple(timedelta(hours=hours) for hours in (1, 24, 24 * 8, 24 * 32, 24 * 367))
"""How far back to search for the last time of a schedule: the shortest first, because it may fire often."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_STAMP = "%Y%m%dT%H%M%SZ"
_ANY_TIME = datetime(2026, 12, 31, 23, tzinfo=UTC)
"""Time that fills placeholders when a request is checked."""


@dataclass(frozen=True)
class Schedule:
    """A schedule that starts an execution with `request` at each time that `expression` names."""

    name: str
    expression: str
    time_zone: str = "UTC"
    flexible_window_minutes: int | None = None
    """Minutes after the scheduled time within which the execution starts. None means within one
    minute."""
    request: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    start: str | None = None
    """First time at which it may fire, ISO 8601 with a time zone.

    A rate counts from it; without it, a rate fires as soon as it is created.
    """

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        if not _NAME.fullmatch(self.name):
            expected = "1 to 63 letters, digits, '-' and '_', with a letter or digit at both ends"
            problems.append(Problem("name", self.name, expected))
        try:
            parse_expression("expression", self.expression)
        except InvalidInputError as error:
            problems += error.problems
        problems += check_time_zone("time_zone", self.time_zone)
        problems += _check_start(self.start)
        problems += check_range(
            "flexible_window_minutes", self.flexible_window_minutes, 1, LONGEST_WINDOW_MINUTES, "minutes"
        )
        wrong = check_placeholders(self.request)
        request = fill_placeholders(self.request, _ANY_TIME)
        if wrong:
            request = {name: value for name, value in request.items() if name != "dataset"}
        problems += [*wrong, *check_triggered_request(request, refused={})]
        if problems:
            raise InvalidInputError("schedule", problems)

    @property
    def parsed(self) -> Expression:
        return parse_expression("expression", self.expression)

    @property
    def starts_at(self) -> datetime | None:
        return None if self.start is None else datetime.fromisoformat(self.start)

    @property
    def fires_at_once(self) -> bool:
        """Whether the schedule starts an execution as soon as it is created."""
        return self.enabled and self.start is None and isinstance(self.parsed, Rate)

    def next_time(self, after: datetime, created: datetime | None = None) -> datetime | None:
        """Return the next time after `after` at which the schedule fires, in UTC, or None."""
        start = self.starts_at
        if start is not None:
            # Times at the start itself count, and those before it do not.
            after = max(after, start - timedelta(microseconds=1))
        return next_time(self.parsed, ZoneInfo(self.time_zone), after, start or created)

    def last_time(self, until: datetime, after: datetime, created: datetime | None = None) -> datetime | None:
        """Return the latest time after `after` and not after `until` at which the schedule fires, in UTC, or None."""
        for span in _SPANS:
            begin, last = max(after, until - span), None
            while (following := self.next_time(last or begin, created)) is not None and following <= until:
                last = following
            if last is not None or begin == after:
                return last
        return None


@dataclass(frozen=True)
class ScheduledStart:
    """Message from EventBridge Scheduler to start_on_schedule."""

    schedule: str
    scheduled_time: str
    """Scheduled time, ISO 8601 in UTC. It is the same in repeated deliveries."""
    request: Any
    time_zone: str = "UTC"
    """The schedule's zone, in which the scheduled time fills placeholders of the request."""


def target_input(schedule: Schedule) -> str:
    """Return the input of the schedule's target, as EventBridge Scheduler keeps it: at most 256 KB."""
    start = ScheduledStart(schedule.name, SCHEDULED_TIME, dict(schedule.request), schedule.time_zone)
    return sent_request(codec.to_json(start))


def read_target_input(text: str) -> ScheduledStart:
    """Parse the text that `target_input` returned.

    Raises:
        InvalidInputError: if another release or another program wrote it.
    """
    return codec.loads(ScheduledStart, text, subject="the schedule's input")


def execution_name(start: ScheduledStart) -> str:
    """Return the name of the execution for a scheduled time.

    The same scheduled time always has the same name, so that it never starts two executions.

    >>> execution_name(ScheduledStart("nightly", "2026-07-01T02:00:00+02:00", {}))
    'nightly-20260701T000000Z'

    Raises:
        InvalidInputError: if the schedule's name or the time is invalid.
    """
    if not _NAME.fullmatch(start.schedule):
        raise InvalidInputError("ScheduledStart", [Problem("schedule", start.schedule, "the name of a schedule")])
    return f"{start.schedule}-{scheduled_time(start).astimezone(UTC):{_STAMP}}"


def scheduled_time(start: ScheduledStart) -> datetime:
    """Return the scheduled time of a message.

    Raises:
        InvalidInputError: if the message has no time with a zone.
    """
    try:
        moment = datetime.fromisoformat(start.scheduled_time)
    except ValueError:
        moment = None
    if moment is not None and moment.tzinfo is not None:
        return moment
    expected = "a time with its zone, such as 2026-03-29T01:30:00Z"
    remedy = f"The target's input must have {SCHEDULED_TIME} there."
    raise InvalidInputError("ScheduledStart", [Problem("scheduled_time", start.scheduled_time, expected, remedy)])


def has_placeholders(request: Any) -> bool:
    """Return whether the dataset of a schedule's request has placeholders such as {date}."""
    dataset = request.get("dataset") if isinstance(request, Mapping) else None
    return isinstance(dataset, str) and ("{" in dataset or "}" in dataset)


def check_placeholders(request: Any) -> list[Problem]:
    """Check the placeholders of a schedule's request."""
    return check_template("request.dataset", request["dataset"]) if has_placeholders(request) else []


def fill_placeholders(request: Any, moment: datetime) -> Any:
    """Return a schedule's request with its placeholders filled from the local scheduled time.

    >>> fill_placeholders({"dataset": "sales-{date}"}, datetime(2026, 7, 1, 2))
    {'dataset': 'sales-2026-07-01'}
    """
    if not has_placeholders(request) or check_placeholders(request):
        return request
    return {**request, "dataset": fill(request["dataset"], moment)}


def check_schedules(where: str, items: Sequence[Any], now: datetime) -> list[Problem]:
    """Check a list of schedules, given as `Schedule`s or as JSON values; `where` names the list."""
    problems: list[Problem] = []
    names: list[str] = []
    for index, item in enumerate(items):
        place = f"{where}[{index}]"
        schedule, found = _read(item)
        if schedule is not None:
            names.append(schedule.name)
            found = check_will_fire(schedule, now)
        problems += [Problem(f"{place}.{p.field}" if p.field else place, p.value, p.expected, p.remedy) for p in found]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        problems.append(Problem(where, repeated, "each name once"))
    return problems


def check_will_fire(schedule: Schedule, now: datetime) -> list[Problem]:
    """Check that a schedule will fire at least once."""
    if schedule.next_time(now) is not None:
        return []
    ever = schedule.next_time(datetime(1970, 1, 1, tzinfo=UTC)) is not None
    expected = f"a time after now ({now:%Y-%m-%dT%H:%MZ})" if ever else "a local time that exists"
    why = "All its times have passed" if ever else f"No date and time in {schedule.time_zone} matches"
    remedy = f"{why}, so the schedule would never fire. Correct or remove it."
    return [Problem("expression", schedule.expression, expected, remedy)]


def _read(item: Any) -> tuple[Schedule | None, list[Problem]]:
    if isinstance(item, Schedule):
        return item, []
    if not isinstance(item, Mapping):
        return None, [Problem("", item, "a JSON object with name and expression")]
    return decode_fields(Schedule, item)


def _check_start(start: str | None) -> list[Problem]:
    if start is None:
        return []
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        moment = None
    if moment is not None and moment.tzinfo is not None:
        return []
    return [Problem("start", start, "a date and time with a time zone, such as 2026-12-31T06:00:00+01:00")]
