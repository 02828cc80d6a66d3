"""The log streams of functions: one for each execution environment, as on AWS."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

import logging
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Any

from embedded.ministack.errors import MinistackChangedError

STREAM_CALLS = 100
"""Largest number of calls per stream. AWS replaces environments, and so their streams, after some time."""
_NEEDED = ("_emit_lambda_logs", "_probe_peak_memory_mb")

_logger = logging.getLogger("embedded.functions")
_answered = threading.local()
_creating = threading.Lock()


class LogStream:
    """The log stream of a worker process. A new one begins after `STREAM_CALLS` calls."""

    def __init__(self) -> None:
        self._calls = 0
        self._begin()

    def of_next_call(self) -> tuple[datetime, str]:
        """Return the time at which the stream of the next call began, and its id."""
        if self._calls == STREAM_CALLS:
            self._calls = 0
            self._begin()
        self._calls += 1
        return self._begun

    def _begin(self) -> None:
        self._begun = datetime.now(UTC), secrets.token_hex(16)


def answers_from(stream: LogStream) -> None:
    """Remember the stream of the worker that answers the call of this thread, until its log is written."""
    _answered.stream = stream


def install_log_streams() -> None:
    """Write the lines of all calls of a worker to one stream. ministack makes a stream for each call."""
    from ministack.services import cloudwatch_logs, lambda_svc

    if missing := [name for name in _NEEDED if not callable(getattr(lambda_svc, name, None))]:
        raise MinistackChangedError(f"ministack's Lambda has no {missing[0]}: install the pinned version")
    ministack_emit = lambda_svc._emit_lambda_logs

    def emit(
        function: dict[str, Any],
        request_id: str,
        log: str,
        error: bool,
        duration_ms: int,
        *,
        log_source: str | None = None,
    ) -> None:
        stream, _answered.stream = getattr(_answered, "stream", None), None
        if stream is None or log_source is not None:
            ministack_emit(function, request_id, log, error, duration_ms, log_source=log_source)
            return
        config = function.get("config") or function
        try:
            place = _place(config, stream)
            with _creating:
                for create in (cloudwatch_logs._create_log_group, cloudwatch_logs._create_log_stream):
                    create(place)  # refused if it exists
            now = int(time.time() * 1000)
            memory_mb = lambda_svc._probe_peak_memory_mb(function)
            events = [
                {"timestamp": now, "message": line} for line in _lines(config, request_id, log, duration_ms, memory_mb)
            ]
            cloudwatch_logs._put_log_events({**place, "logEvents": events})
        except Exception:
            # A call has its answer, even if its lines are lost.
            _logger.exception("the log of %s was not written", config.get("FunctionName"))

    lambda_svc._emit_lambda_logs = emit


def _place(config: dict[str, Any], stream: LogStream) -> dict[str, str]:
    begun, number = stream.of_next_call()
    group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config.get('FunctionName')}"
    name = f"{begun:%Y/%m/%d}/[{config.get('Version', '$LATEST')}]{number}"
    return {"logGroupName": group, "logStreamName": name}


def _lines(config: dict[str, Any], request_id: str, log: str, duration_ms: int, memory_mb: int) -> list[str]:
    """Return the lines of a call, with those that Lambda adds."""
    report = (
        f"Duration: {duration_ms} ms\tBilled Duration: {duration_ms} ms\t"
        f"Memory Size: {config.get('MemorySize', 128)} MB\tMax Memory Used: {memory_mb} MB"
    )
    return [
        f"START RequestId: {request_id} Version: {config.get('Version', '$LATEST')}",
        *log.splitlines(),
        f"END RequestId: {request_id}",
        f"REPORT RequestId: {request_id}\t{report}",
    ]
