"""A small HTTP/1.1 server for ASGI applications: each request costs a fraction of a general server's.

It has what AWS's clients need: TLS, persistent connections, chunked bodies, `Expect: 100-continue`, and
responses without a known length. It has no HTTP/2, no WebSockets and no compression.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

Message = dict[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_LONGEST_HEAD = 1 << 16
_BUFFERED_BYTES = 1 << 18
"""Bytes of a body that wait for the application before the connection is read no further."""
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[!-~\x80-\xff]+")
_BAD_VALUE = re.compile(rb"[\x00\r\n]")
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_WITHOUT_BODY = frozenset({204, 304})
_LINE_END = b"\r\n"
_BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

logger = logging.getLogger(__name__)


class HttpServer:
    """Serves an application on a listening socket.

    Args:
        idle_seconds: Time after which a connection without a request is closed.
    """

    def __init__(self, application: Application, context: ssl.SSLContext, *, idle_seconds: float) -> None:
        self.application = application
        self.idle_seconds = idle_seconds
        self.tasks: set[asyncio.Task[None]] = set()
        self._context = context
        self._events: asyncio.Queue[Message] = asyncio.Queue()

    async def serve(self, listener: socket.socket, closed: asyncio.Event) -> None:
        """Start the application, and serve until `closed` is set."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        life = asyncio.create_task(self._run_lifespan(started))
        await asyncio.wait({started, life}, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), sock=listener, ssl=self._context)
        await closed.wait()
        server.close()
        await self._events.put({"type": "lifespan.shutdown"})
        await life

    async def _run_lifespan(self, started: asyncio.Future[None]) -> None:
        async def send(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                raise RuntimeError(f"the application did not start: {message.get('message', '')}")
            if message["type"] == "lifespan.startup.complete":
                started.set_result(None)

        await self._events.put({"type": "lifespan.startup"})
        await self.application({"type": "lifespan", "asgi": {"version": "3.0"}}, self._events.get, send)


def tls_context(certificate: Path, private_key: Path) -> ssl.SSLContext:
    """Return the settings of TLS with a certificate and its key, as files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, private_key)
    return context


class _BadRequestError(Exception):
    """The client does not speak HTTP/1.1 as this server understands it."""


class _Connection(asyncio.Protocol):
    """A connection: parses one request at a time, and runs the application for it."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._exchange: _Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Future[None] | None = None
        self._is_paused = False
        self._active_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # ---- the transport's calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TLS connection over a stream socket
        self._transport = transport
        self._watch_idleness()

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        if self._exchange is not None:
            self._exchange.disconnect()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._proceed()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # ---- calls of the exchange ----

    async def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
        if self._writable is not None:
            await self._writable

    def read_on(self) -> None:
        """Read from the connection again, after the application has taken what was buffered."""
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def finished(self, *, keep: bool) -> None:
        """Go on with the next request, or close the connection."""
        self._exchange = None
        self._active_at = asyncio.get_running_loop().time()
        if not keep:
            self.close()
        elif self._transport is not None:
            self.read_on()
            self._proceed()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # ---- parsing ----

    def _proceed(self) -> None:
        try:
            if self._exchange is None:
                self._read_head()
            if self._exchange is not None:
                self._exchange.feed(self._buffer)
        except _BadRequestError as error:
            self._refuse(str(error))
            return
        if len(self._buffer) > _BUFFERED_BYTES or (self._exchange is not None and self._exchange.is_full):
            self._is_paused = True
            if self._transport is not None:
                self._transport.pause_reading()

    def _read_head(self) -> None:
        buffer = self._buffer
        while buffer.startswith(_LINE_END):  # some clients end a body with it
            del buffer[: len(_LINE_END)]
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > _LONGEST_HEAD:
                raise _BadRequestError("the head of the request is too long")
            return
        lines = bytes(buffer[:end]).split(_LINE_END)
        del buffer[: end + 4]
        self._exchange = _Exchange(self, *_parse_request_line(lines[0]), _parse_headers(lines[1:]))
        task = asyncio.get_running_loop().create_task(self._exchange.run(self._server.application))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def _refuse(self, why: str) -> None:
        if self._exchange is not None:
            self._exchange.disconnect()
        elif self._transport is not None:
            body = f"{why}\n".encode()
            self._transport.write(_BAD_REQUEST % len(body) + body)
        self.close()

    def _watch_idleness(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._active_at = loop.time()
        elif self._transport is None:
            return
        left = self._server.idle_seconds - (0 if self._exchange is not None else loop.time() - self._active_at)
        if left <= 0:
            self.close()
        else:
            self._timer = loop.call_later(left, self._watch_idleness)


class _Exchange:
    """A request and its response."""

    def __init__(
        self, connection: _Connection, method: bytes, target: bytes, version: bytes, headers: list[tuple[bytes, bytes]]
    ) -> None:
        self._connection = connection
        path, _, query = target.partition(b"?")
        named = dict(headers)
        self.scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version.decode(),
            "method": method.decode(),
            "scheme": "https",
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 0),
            "server": None,
        }
        words = [word.strip() for word in named.get(b"connection", b"").lower().split(b",")]
        self._keeps = b"close" not in words if version == b"1.1" else b"keep-alive" in words
        self._is_head = method == b"HEAD"
        self._parts: list[bytes] = []
        self._buffered = 0
        self._is_chunked, self._left = _body_length(headers)
        self._is_complete = not self._is_chunked and not self._left
        self._awaits_continue = version == b"1.1" and named.get(b"expect", b"").lower() == b"100-continue"
        self._awaits_line_end = False
        self._is_delivered = False
        self._is_lost = False
        self._arrived: asyncio.Future[None] | None = None
        self._head: bytes | None = None
        self._has_length = False
        self._has_no_body = False
        self._is_sent_chunked = False
        self._is_started = False
        self._is_ended = False

    @property
    def is_full(self) -> bool:
        return self._buffered > _BUFFERED_BYTES

    async def run(self, application: Application) -> None:
        try:
            await application(self.scope, self.receive, self.send)
        except Exception:
            logger.exception("%s %s failed", self.scope["method"], self.scope["path"])
            self._keeps = False
            if not self._is_started:
                await self.send({"type": "http.response.start", "status": 500, "headers": []})
                await self.send({"type": "http.response.body"})
        # A body that was not read may still arrive, or never, if the client waits for 100 Continue.
        self._connection.finished(keep=self._keeps and self._is_ended and self._is_complete and not self._is_lost)

    def disconnect(self) -> None:
        self._is_lost = True
        self._wake()

    # ---- the request's body ----

    def feed(self, buffer: bytearray) -> None:
        """Take this request's part of the body out of the buffer."""
        while buffer and not self._is_complete:
            if self._is_chunked and not self._left:
                if not self._read_chunk_head(buffer):
                    return
                continue
            part = bytes(buffer[: self._left]) if self._left < len(buffer) else bytes(buffer)
            del buffer[: len(part)]
            self._left -= len(part)
            self._parts.append(part)
            self._buffered += len(part)
            self._is_complete = not self._is_chunked and not self._left
        self._wake()

    def _read_chunk_head(self, buffer: bytearray) -> bool:
        """Read the line before a chunk, or the end of the body. Return False if it has not arrived yet."""
        if self._awaits_line_end:
            if len(buffer) < len(_LINE_END):
                return False
            if not buffer.startswith(_LINE_END):
                raise _BadRequestError("a chunk is longer than its size")
            del buffer[: len(_LINE_END)]
            self._awaits_line_end = False
        end = buffer.find(_LINE_END)
        if end < 0:
            if len(buffer) > _LONGEST_HEAD:
                raise _BadRequestError("a chunk's size is too long")
            return False
        size = bytes(buffer[:end]).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size):
            raise _BadRequestError("a chunk has no size")
        if int(size, 16):
            del buffer[: end + 2]
            self._left, self._awaits_line_end = int(size, 16), True
            return True
        trailers = buffer.find(b"\r\n\r\n", end)
        if trailers < 0:
            return False
        del buffer[: trailers + 4]
        self._is_complete = True
        return True

    async def receive(self) -> Message:
        while not self._parts and not self._is_complete and not self._is_lost:
            if self._awaits_continue:
                self._awaits_continue = False
                await self._connection.write(_CONTINUE)
                continue
            self._connection.read_on()
            await self._wait()
        if not self._is_delivered and (self._parts or self._is_complete):
            body = b"".join(self._parts)
            self._parts.clear()
            self._buffered = 0
            self._is_delivered = self._is_complete
            if not self._is_complete:
                self._connection.read_on()
            return {"type": "http.request", "body": body, "more_body": not self._is_complete}
        while not self._is_lost:
            await self._wait()
        return {"type": "http.disconnect"}

    async def _wait(self) -> None:
        self._arrived = asyncio.get_running_loop().create_future()
        await self._arrived

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    # ---- the response ----

    async def send(self, message: Message) -> None:
        if self._is_lost or self._is_ended:
            return
        if message["type"] == "http.response.start":
            self._start_response(message["status"], message.get("headers", []))
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        head = b""
        if self._head is not None:
            head, self._head = self._head, None
            if not self._has_length:
                head += b"transfer-encoding: chunked\r\n" if more else b"content-length: %d\r\n" % len(body)
                self._is_sent_chunked = more
            if not self._keeps or not self._is_complete:
                head += b"connection: close\r\n"
            head += b"\r\n"
        if self._has_no_body:
            body = b""
        elif self._is_sent_chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        self._is_ended = not more
        if head or body:
            await self._connection.write(head + body)

    def _start_response(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        names = {name.lower() for name, _ in headers}
        lines = [b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b""))]
        for name, value in headers:
            if _BAD_VALUE.search(name) or _BAD_VALUE.search(value):
                raise ValueError(f"the header {name!r} of the response has a line break")
            lines.append(b"%b: %b\r\n" % (name, value))
        if b"date" not in names:
            lines.append(b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode())
        self._has_no_body = self._is_head or status in _WITHOUT_BODY
        # Without a known length, a HEAD response says nothing about it.
        self._has_length = b"content-length" in names or self._has_no_body
        self._head = b"".join(lines)
        self._is_started = True


def _parse_request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    parts = line.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):
        raise _BadRequestError("the first line is not a request")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise _BadRequestError("only HTTP/1.1 is served")
    if not target.startswith(b"/"):
        raise _BadRequestError("the target is not a path")
    return method, target, version[5:]


def _parse_headers(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    headers = []
    for line in lines:
        name, found, value = line.partition(b":")
        if not found or not _TOKEN.fullmatch(name) or _BAD_VALUE.search(value):
            raise _BadRequestError("a header cannot be read")
        headers.append((name.lower(), value.strip(b" \t")))
    return headers


def _body_length(headers: list[tuple[bytes, bytes]]) -> tuple[bool, int]:
    """Return whether the body is sent in chunks, and its length in bytes otherwise."""
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    lengths = {value for name, value in headers if name == b"content-length"}
    if codings:
        if codings != [b"chunked"] or lengths:
            raise _BadRequestError("the body's length is not clear")
        return True, 0
    if len(lengths) > 1 or any(not re.fullmatch(rb"[0-9]{1,18}", value) for value in lengths):
        raise _BadRequestError("the body's length is not clear")
    return False, int(lengths.pop()) if lengths else 0
