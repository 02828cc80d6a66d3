"""Output of a container: to a file, and to CloudWatch Logs with the job role's permissions."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from embedded.sagemaker.transfer.inputs import error_text
from embedded.threads import start_thread

_DELIVERY_SECONDS, _SLOWEST_DELIVERY_SECONDS = 0.5, 2.0
"""Time until the first delivery of lines, and the largest time between two, to which it grows."""
_READ_BYTES = 1 << 16
_EVENT_BYTES = 250_000
_BATCH_EVENTS = 1_000
_BATCH_BYTES = 900_000


class InstanceLog:
    """Reads the output of one instance in a thread until the instance ends.

    As on AWS, a job whose role may not write logs runs without them; the file then says why. `now` is
    the clock of the instance, by which its lines have their times.
    `on_line` is called in the thread with each line.
    """

    def __init__(
        self,
        output: int,
        file: Path,
        client: Any,
        *,
        group: str,
        stream: str,
        on_line: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._output = output
        self._file = file
        self._client = client
        self._group = group
        self._stream = stream
        self._on_line = on_line or (lambda _line: None)
        self._now = now
        self._has_stream = False
        self._refused = False
        self._partial = b""
        self._events: list[dict[str, Any]] = []
        self._closing = threading.Event()
        file.parent.mkdir(parents=True, exist_ok=True)
        self._ended = threading.Event()
        start_thread(self._run, name=f"log-{stream}")

    def close(self) -> None:
        """Deliver the remaining output and stop. Call it after the instance has ended."""
        self._closing.set()
        self._ended.wait()

    def _run(self) -> None:
        try:
            self._read()
        finally:
            self._ended.set()

    def _read(self) -> None:
        # Not at once: the first line of a program is often followed by more.
        due, seconds = time.monotonic() + _DELIVERY_SECONDS, 2 * _DELIVERY_SECONDS
        with self._file.open("ab", buffering=0) as file:
            while True:
                # A process that has left the group may hold the pipe open, so do not wait for its
                # end.
                wait = 0.0 if self._closing.is_set() else _DELIVERY_SECONDS
                readable, _, _ = select.select([self._output], [], [], wait)
                data = os.read(self._output, _READ_BYTES) if readable else b""
                if data:
                    file.write(data)
                    self._split_lines(data)
                is_over = not data and (bool(readable) or self._closing.is_set())
                if is_over:
                    self._split_lines(b"\n" if self._partial else b"")
                is_due = is_over or time.monotonic() >= due or len(self._events) >= _BATCH_EVENTS
                if self._events and is_due:
                    self._deliver(file)
                    due = time.monotonic() + seconds
                    seconds = min(2 * seconds, _SLOWEST_DELIVERY_SECONDS)
                if is_over:
                    break
        os.close(self._output)

    def _split_lines(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) >= _EVENT_BYTES:  # a line may have no end
            lines, self._partial = [*lines, self._partial], b""
        moment = int(self._now() * 1000)
        for line in lines:
            self._on_line(line.decode("utf-8", "replace"))
            for start in range(0, len(line), _EVENT_BYTES):
                text = line[start : start + _EVENT_BYTES].decode("utf-8", "replace")
                self._events.append({"timestamp": moment, "message": text})

    def _deliver(self, file: Any) -> None:
        while self._events and not self._refused:
            batch = self._batch()
            try:
                self._put(batch)
            except (ClientError, BotoCoreError) as error:
                self._refused = True
                file.write(f"[embedded AWS] no logs in {self._group}: {error_text(error)}\n".encode())
        self._events.clear()

    def _batch(self) -> list[dict[str, Any]]:
        # The service requires this order, and the clock may be set back.
        self._events.sort(key=lambda event: int(event["timestamp"]))
        size = count = 0
        for event in self._events[:_BATCH_EVENTS]:
            size += len(event["message"].encode()) + 26
            if size > _BATCH_BYTES:
                break
            count += 1
        batch, self._events = self._events[:count], self._events[count:]
        return batch

    def _put(self, batch: list[dict[str, Any]]) -> None:
        if not self._has_stream:
            self._create_stream()
            self._has_stream = True
        self._client.put_log_events(logGroupName=self._group, logStreamName=self._stream, logEvents=batch)

    def _create_stream(self) -> None:
        try:
            self._client.create_log_stream(logGroupName=self._group, logStreamName=self._stream)
        except self._client.exceptions.ResourceNotFoundException:
            # Another instance may have created it.
            with contextlib.suppress(self._client.exceptions.ResourceAlreadyExistsException):
                self._client.create_log_group(logGroupName=self._group)
            self._client.create_log_stream(logGroupName=self._group, logStreamName=self._stream)
