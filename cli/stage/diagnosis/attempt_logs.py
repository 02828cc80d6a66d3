"""Log lines of attempts, from CloudWatch Logs."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from cli.failures import CommandError, error_code
from cli.stage.connection import Connection
from contract.log_groups import LOG_GROUPS, stream_prefix
from contract.status import ExecutionKind, sagemaker_kind
from contract.table.records import AttemptRecord

_CLOCKS = timedelta(days=1)
"""How far the clock of an instance may be behind that of the function that wrote the attempt's record. The names of
the streams exclude other attempts."""


@dataclass(frozen=True)
class LogLine:
    """One line of a job's log."""

    moment: datetime
    """Time at which CloudWatch Logs says that the line was written, in UTC."""
    event_id: str
    job_id: str
    attempt: int
    stream: str
    message: str
    """The line as it was written. It may have control characters, and data."""

    @property
    def host(self) -> str:
        """Return the name of the instance, such as algo-1."""
        return "-".join(self.stream.rpartition("/")[2].split("-")[:2])


class AttemptLogs:
    """The logs of a stage's attempts."""

    def __init__(self, connection: Connection) -> None:
        self._logs = connection.client("logs")

    def read(
        self,
        attempts: Sequence[AttemptRecord],
        kind: ExecutionKind,
        *,
        pattern: str = "",
        since: datetime | None = None,
    ) -> Iterator[LogLine]:
        """Yield the lines of attempts by time; none of attempts that have no SageMaker job.

        `pattern` is a filter pattern of CloudWatch Logs. Lines before `since` are left out.

        Raises:
            CommandError: when CloudWatch Logs does not understand the pattern.
        """
        named = [attempt for attempt in attempts if attempt.sagemaker_job_name]
        lines = (self._lines(attempt, kind, pattern, since) for attempt in named)
        return heapq.merge(*lines, key=lambda line: line.moment)

    def _lines(
        self, attempt: AttemptRecord, kind: ExecutionKind, pattern: str, since: datetime | None
    ) -> Iterator[LogLine]:
        opened = datetime.fromisoformat(attempt.started_at) - _CLOCKS
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=LOG_GROUPS[sagemaker_kind(kind, spot=attempt.spot)],
            logStreamNamePrefix=stream_prefix(attempt.sagemaker_job_name),
            startTime=int(max(opened, since or opened).timestamp() * 1_000),
            **({"filterPattern": pattern} if pattern else {}),
        )
        for event in self._events(pages, pattern):
            yield LogLine(
                moment=datetime.fromtimestamp(event["timestamp"] / 1_000, UTC),
                event_id=str(event["eventId"]),
                job_id=attempt.job_id,
                attempt=attempt.attempt,
                stream=str(event["logStreamName"]),
                message=str(event["message"]).rstrip("\r\n"),
            )

    @staticmethod
    def _events(pages: Iterable[dict[str, Any]], pattern: str) -> Iterator[dict[str, Any]]:
        try:
            for page in pages:
                yield from page["events"]
        except ClientError as error:
            code = error_code(error)
            # The group appears with the first job of the account and Region.
            if code == "ResourceNotFoundException":
                return
            if code == "InvalidParameterException" and pattern:
                raise CommandError(
                    f"--filter: got {pattern!r}, expected a filter pattern of CloudWatch Logs, such as object_failed "
                    f"or '{{ $.event = \"object_failed\" }}' ({error.response['Error']['Message']})."
                ) from error
            raise


class NewLines:
    """Reads the lines that were added since the last read.

    Lines of several instances arrive late and in no order, so each read looks back a little, and
    leaves out what it has returned before.
    """

    _LOOK_BACK = timedelta(seconds=60)

    def __init__(self, logs: AttemptLogs, kind: ExecutionKind, pattern: str) -> None:
        self._logs = logs
        self._kind = kind
        self._pattern = pattern
        self._returned: dict[str, datetime] = {}
        self._complete: set[str] = set()
        """SageMaker jobs that can have no new lines."""

    def read(self, attempts: Sequence[AttemptRecord]) -> Iterator[LogLine]:
        """Yield lines that no earlier read returned, by time.

        Raises:
            CommandError: see `AttemptLogs.read`.
        """
        left = [attempt for attempt in attempts if attempt.sagemaker_job_name not in self._complete]
        settled = datetime.now(UTC) - self._LOOK_BACK
        newest = max(self._returned.values(), default=None)
        since = newest - self._LOOK_BACK if newest is not None else None
        if since is not None:
            self._returned = {event: moment for event, moment in self._returned.items() if moment >= since}
        for line in self._logs.read(left, self._kind, pattern=self._pattern, since=since):
            if line.event_id not in self._returned:
                self._returned[line.event_id] = line.moment
                yield line
        self._complete.update(
            attempt.sagemaker_job_name
            for attempt in left
            if attempt.ended_at and datetime.fromisoformat(attempt.ended_at) < settled
        )
