"""The stage's schedules: those of cdk.json, and those added with the command."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from cli.failures import CommandError
from cli.stage.connection import Connection
from cli.stage.deployment import stack_outputs
from contract.codec import decode_fields
from contract.problems import InvalidInputError, Problem
from contract.triggers.schedule_expression import Rate
from contract.triggers.schedules import (
    Schedule,
    ScheduledStart,
    check_will_fire,
    execution_name,
    read_target_input,
    target_input,
)
from contract.workflow.scoring_request import hide_task_token

_STACK = "triggers"
_OUTPUTS = ("ScheduleGroup", "ScheduleTargetArn", "ScheduleRoleArn", "ScheduleDeadLettersArn")
_DELIVERY_SECONDS, _TRIES = 86_400, 185
"""Limits of EventBridge Scheduler's retries: age of a delivery in seconds, and number."""
_DESCRIPTION = "Made with `fleetscore schedules add`"
MISSED = "MISSED"
"""Stands for the status of an execution that was never started."""
_DELIVERY = timedelta(minutes=5)
"""Time after the flexible window in which a delivery is not late yet."""
_REMEMBERED = timedelta(days=85)
"""Age up to which Step Functions certainly knows an execution. It forgets one 90 days after its end."""
# Fields of GetSchedule that UpdateSchedule does not take.
_NOT_FOR_UPDATE = frozenset({"Arn", "CreationDate", "LastModificationDate", "ResponseMetadata"})


@dataclass(frozen=True)
class ListedSchedule:
    """A schedule as EventBridge Scheduler has it."""

    name: str
    expression: str
    time_zone: str
    flexible_window_minutes: int | None
    enabled: bool
    request: Any
    """None when the target's input was not written by Fleetscore."""
    declared: bool
    """Whether the schedule is declared in cdk.json."""
    next_time: datetime | None
    """Time of the next execution, in UTC; None when the schedule is paused or has no next time."""
    last_time: datetime | None = None
    """Last time at which an execution should have started, in UTC, since the schedule was changed or resumed. None if
    there was none, or if Step Functions may have forgotten it."""
    last_execution_id: str = ""
    """Id of the execution of that time."""
    last_status: str = ""
    """Its status in Step Functions, or MISSED if no execution has started."""


class Schedules:
    """The schedules of one stage."""

    def __init__(self, connection: Connection, stage: str) -> None:
        self._scheduler = connection.client("scheduler")
        self._cloudformation = connection.client("cloudformation")
        self._stack_name = f"fleetscore-{stage}-{_STACK}"
        outputs = stack_outputs(self._cloudformation, stage, _STACK, _OUTPUTS)
        self._group, self.target_arn, self._role_arn, self._dead_letters_arn = (outputs[name] for name in _OUTPUTS)
        self._workflow = connection.client("stepfunctions")
        self._machine_arn = stack_outputs(self._cloudformation, stage, "workflow", ("StateMachineArn",))[
            "StateMachineArn"
        ]
        self._key_arn = stack_outputs(self._cloudformation, stage, "storage", ("KeyArn",))["KeyArn"]

    def add(self, schedule: Schedule, now: datetime | None = None) -> None:
        """Create a schedule.

        Raises:
            InvalidInputError: when the schedule would never start an execution.
            CommandError: when the name is taken.
        """
        now = now or datetime.now(UTC)
        problems = check_will_fire(schedule, now)
        problems += _start_problems(schedule, now)
        if problems:
            raise InvalidInputError("schedule", problems)
        try:
            self._scheduler.create_schedule(
                GroupName=self._group,
                Name=schedule.name,
                Description=_DESCRIPTION,
                KmsKeyArn=self._key_arn,
                **_timing(schedule),
                Target={
                    "Arn": self.target_arn,
                    "RoleArn": self._role_arn,
                    "Input": target_input(schedule),
                    "DeadLetterConfig": {"Arn": self._dead_letters_arn},
                    "RetryPolicy": {"MaximumEventAgeInSeconds": _DELIVERY_SECONDS, "MaximumRetryAttempts": _TRIES},
                },
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConflictException":
                remedy = "Choose another name, or remove that one first."
                raise CommandError(f"There is a schedule {schedule.name!r} already. {remedy}") from error
            raise

    def update(self, name: str, changes: Mapping[str, Any], now: datetime | None = None) -> tuple[Schedule, bool]:
        """Change these fields of a schedule; return it, and whether it is declared in cdk.json.

        Times that have fired keep their executions, because an execution's name has its time. `start` may be None,
        and is then removed.

        Raises:
            InvalidInputError: when the schedule would be invalid, or would never start an execution.
            CommandError: when it does not exist, or another program created it.
        """
        now = now or datetime.now(UTC)
        found = self._get(name)
        try:
            request = read_target_input(found["Target"].get("Input", "")).request
        except InvalidInputError as error:
            raise CommandError(
                f"Schedule {name!r} was created or changed without Fleetscore, so it cannot be updated. Remove it, and "
                "add it with `fleetscore schedules add`."
            ) from error
        # A start that has passed stays only as the time from which a rate counts.
        kept = _next_start(found) or ({"StartDate": found["StartDate"]} if "StartDate" in found else {})
        if not kept and "expression" not in changes:
            kept = _next_of_rate(found, now)
        before = {
            "expression": found["ScheduleExpression"],
            "time_zone": found.get("ScheduleExpressionTimezone") or "UTC",
            "flexible_window_minutes": found["FlexibleTimeWindow"].get("MaximumWindowInMinutes"),
            "request": request,
            "enabled": found.get("State", "ENABLED") == "ENABLED",
            "start": kept["StartDate"].astimezone(UTC).isoformat() if kept else None,
        }
        schedule, problems = decode_fields(Schedule, {"name": name, **before, **changes})
        if schedule is None:
            raise InvalidInputError("schedule", problems)
        problems = check_will_fire(schedule, now)
        if "start" in changes:
            problems += _start_problems(schedule, now)
        if problems:
            raise InvalidInputError("schedule", problems)
        fields = {key: value for key, value in found.items() if key not in {*_NOT_FOR_UPDATE, "StartDate"}}
        target = {**found["Target"], "Input": target_input(schedule)}
        self._scheduler.update_schedule(**{**fields, **_timing(schedule), "Target": target})
        return schedule, name in self._declared()

    def all(self, now: datetime | None = None) -> list[ListedSchedule]:
        """Return every schedule of the stage, by name, each with its last execution."""
        declared = self._declared()
        now = now or datetime.now(UTC)
        # Somebody may remove a schedule while this runs.
        found = filter(None, map(self._find, sorted(self._names())))
        return [self._listed(schedule, declared, now) for schedule in found]

    def switch(self, name: str, *, enabled: bool) -> bool:
        """Resume or pause a schedule; return whether it is declared in cdk.json."""
        found = self._get(name)
        if (found.get("State", "ENABLED") == "ENABLED") != enabled:
            fields = {key: value for key, value in found.items() if key not in _NOT_FOR_UPDATE}
            start = _next_start(found)
            if enabled and "StartDate" not in found:
                start = _next_of_rate(found, datetime.now(UTC))
            self._scheduler.update_schedule(**{**fields, **start, "State": _state(enabled)})
        return name in self._declared()

    def remove(self, name: str) -> None:
        """Delete a schedule that was added with the command.

        Raises:
            CommandError: when the schedule does not exist, or is declared in cdk.json.
        """
        self._get(name)
        if name in self._declared():
            raise CommandError(
                f"Schedule {name!r} is declared in the setting `schedules` of cdk.json (stack {self._stack_name}): "
                f"remove it there and deploy, or pause it with `fleetscore schedules pause {name}`."
            )
        self._scheduler.delete_schedule(GroupName=self._group, Name=name)

    def _names(self) -> Iterator[str]:
        for page in self._scheduler.get_paginator("list_schedules").paginate(GroupName=self._group):
            yield from (str(item["Name"]) for item in page["Schedules"])

    def _get(self, name: str) -> dict[str, Any]:
        found = self._find(name)
        if found is None:
            raise CommandError(
                f"There is no schedule {name!r} in group {self._group}. See `fleetscore schedules list`."
            )
        return found

    def _find(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._scheduler.get_schedule(GroupName=self._group, Name=name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise
        return found

    def _declared(self) -> frozenset[str]:
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=self._stack_name)
        return frozenset(
            str(item["PhysicalResourceId"])
            for page in pages
            for item in page["StackResourceSummaries"]
            if item["ResourceType"] == "AWS::Scheduler::Schedule" and item.get("PhysicalResourceId")
        )

    def _listed(self, found: dict[str, Any], declared: frozenset[str], now: datetime) -> ListedSchedule:
        listed = ListedSchedule(
            name=found["Name"],
            expression=found["ScheduleExpression"],
            time_zone=found.get("ScheduleExpressionTimezone") or "UTC",
            flexible_window_minutes=found["FlexibleTimeWindow"].get("MaximumWindowInMinutes"),
            enabled=found.get("State", "ENABLED") == "ENABLED",
            request=None,
            declared=found["Name"] in declared,
            next_time=None,
        )
        try:
            request = read_target_input(found["Target"].get("Input", "")).request
            known = _known(found, {})
        except InvalidInputError:
            # Created or changed without Fleetscore: show it without request and next time.
            return listed
        listed = replace(listed, request=hide_task_token(request))
        if not listed.enabled:
            return listed
        created = found["CreationDate"].astimezone(UTC)
        listed = replace(listed, next_time=known.next_time(now, created))
        # Before its last change, it may have been paused or have had other times.
        changed = max(created, found.get("LastModificationDate", created).astimezone(UTC))
        due = now - timedelta(minutes=known.flexible_window_minutes or 0) - _DELIVERY
        last = known.last_time(due, max(changed, now - _REMEMBERED), created)
        if last is None:
            return listed
        name = execution_name(ScheduledStart(known.name, last.isoformat(), None))
        return replace(listed, last_time=last, last_execution_id=name, last_status=self._status(name))

    def _status(self, execution_id: str) -> str:
        """Return the status of an execution, or MISSED."""
        arn = self._machine_arn.replace(":stateMachine:", ":execution:") + f":{execution_id}"
        try:
            return str(self._workflow.describe_execution(executionArn=arn)["status"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return MISSED
            raise


def _known(found: dict[str, Any], request: Any) -> Schedule:
    """Return the schedule with an answer's fields.

    Raises:
        InvalidInputError: when Fleetscore would not create it.
    """
    return Schedule(
        name=found["Name"],
        expression=found["ScheduleExpression"],
        time_zone=found.get("ScheduleExpressionTimezone") or "UTC",
        flexible_window_minutes=found["FlexibleTimeWindow"].get("MaximumWindowInMinutes"),
        request=request,
        start=found["StartDate"].astimezone(UTC).isoformat() if "StartDate" in found else None,
    )


def _next_start(found: dict[str, Any]) -> dict[str, datetime]:
    """Return the StartDate with which a schedule that has already begun continues at its times.

    EventBridge Scheduler refuses one that has passed, and a rate without any would fire at once.
    """
    now = datetime.now(UTC)
    if "StartDate" not in found or found["StartDate"] > now:
        return {}
    try:
        following = _known(found, {}).next_time(now)
    except InvalidInputError:
        # Created without Fleetscore, or by an earlier release. It can be paused and removed all the same.
        following = None
    return {} if following is None else {"StartDate": following}


def _next_of_rate(found: dict[str, Any], now: datetime) -> dict[str, datetime]:
    """Return the StartDate with which an unchanged rate without a start continues, so that it does not fire at once."""
    try:
        known = _known(found, {})
    except InvalidInputError:
        return {}
    following = known.next_time(now, found["CreationDate"].astimezone(UTC)) if isinstance(known.parsed, Rate) else None
    return {} if following is None else {"StartDate": following}


def _start_problems(schedule: Schedule, now: datetime) -> list[Problem]:
    """Return the problem of a start that has passed, which EventBridge Scheduler refuses too."""
    if schedule.starts_at is None or schedule.starts_at > now:
        return []
    return [Problem("start", schedule.start, f"a time after now ({now:%Y-%m-%dT%H:%MZ})")]


def _timing(schedule: Schedule) -> dict[str, Any]:
    """Return the fields of CreateSchedule and UpdateSchedule that say when a schedule fires."""
    window = schedule.flexible_window_minutes
    return {
        "ScheduleExpression": schedule.expression,
        "ScheduleExpressionTimezone": schedule.time_zone,
        "State": _state(schedule.enabled),
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": window} if window else {"Mode": "OFF"},
        **({"StartDate": schedule.starts_at} if schedule.starts_at else {}),
    }


def _state(enabled: bool) -> str:
    return "ENABLED" if enabled else "DISABLED"
