"""Requests of botocore clients that the server process makes to itself, without a connection."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.exceptions import HTTPClientError

from embedded.http.server import Application, Message

_PART_BYTES = 1 << 20
_IN_MEMORY_BYTES = 16 << 20
"""Size from which a response is kept in a file, in bytes."""


CALLER = "embedded_aws_caller"
"""Member of a request's scope with the access key that it is made with. Only this process can set it."""


class InProcessCalls:
    """Sends requests of clients to an application that an event loop of this process serves.

    They have no signature, which would only prove to this process who it is itself. Call it from threads other than
    the loop's.
    """

    def __init__(self) -> None:
        self._application: Application | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve(self, application: Application) -> None:
        """Send requests to this application from now on, in the running event loop."""
        self._application = application
        self._loop = asyncio.get_running_loop()

    def use_for(self, client: Any, access_key_id: str) -> Session:
        """Let a botocore client that signs nothing send its requests this way, as a caller. Return its session."""
        session = Session(self, access_key_id, client.meta.region_name, client.meta.service_model.signing_name)
        client._endpoint.http_session = session  # noqa: SLF001 - botocore has no public way
        return session

    def run(self, exchange: Exchange) -> None:
        """Send a request and wait for its response.

        Raises:
            HTTPClientError: The application has not answered.
        """
        if self._application is None or self._loop is None:
            raise HTTPClientError(error=RuntimeError("the embedded AWS does not serve requests yet"))
        work = _Work(exchange, self._application, self._loop)
        self._loop.call_soon_threadsafe(work.start)
        work.wait()


class _Work:
    """An exchange in the event loop, for which another thread waits.

    It needs two thirds of the time of `asyncio.run_coroutine_threadsafe`.
    """

    def __init__(self, exchange: Exchange, application: Application, loop: asyncio.AbstractEventLoop) -> None:
        self._exchange, self._application, self._loop = exchange, application, loop
        self._ended = threading.Lock()
        self._ended.acquire()
        self._failure: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start in the loop's thread, which only refers weakly to tasks."""
        self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._exchange.run(self._application)
        except BaseException as error:
            self._failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._ended.release()

    def wait(self) -> None:
        """Wait in another thread.

        Raises:
            HTTPClientError: The application has not answered.
        """
        self._ended.acquire()
        if self._failure is not None:
            raise HTTPClientError(error=self._failure) from self._failure


class Session:
    """A client's HTTP session."""

    def __init__(self, calls: InProcessCalls, access_key_id: str, region: str, service: str) -> None:
        self._calls = calls
        self._caller = access_key_id
        # The application finds the Region and the service here. There is no signature to check.
        scope = f"{access_key_id}/00000000/{region}/{service}/aws4_request"
        self._authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"

    def send(self, request: Any) -> AWSResponse:
        """Send a prepared request, as botocore's HTTP session does.

        Raises:
            HTTPClientError: The application has not answered.
        """
        parts = urlsplit(request.url)
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers.setdefault("host", parts.netloc)
        exchange = self._exchange(request.method, parts.path, parts.query, headers, request.body)
        return AWSResponse(request.url, exchange.status, HeadersDict(exchange.headers), exchange.body)

    def request(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: BinaryIO | bytes | None = None,
        *,
        query: str = "",
    ) -> Exchange:
        """Send a request, and return it with its response.

        Args:
            path: The path as in a URL, and so is `query`.

        Raises:
            HTTPClientError: The application has not answered.
        """
        return self._exchange(method, path, query, {"host": "localhost", **(headers or {})}, body)

    def _exchange(self, method: str, path: str, query: str, headers: dict[str, Any], body: Any) -> Exchange:
        headers = {**headers, "authorization": self._authorization}
        exchange = Exchange(method, path, query, headers=headers, body=body, caller=self._caller)
        self._calls.run(exchange)
        return exchange

    def close(self) -> None:
        """Do nothing: there is no connection."""


class _Body:
    """The body of a response, as botocore reads it."""

    def __init__(self) -> None:
        self.file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - deleted with this object

    def read(self, amt: int | None = None) -> bytes:
        return self.file.read(-1 if amt is None else amt)

    def stream(self, amt: int = _PART_BYTES, decode_content: bool | None = None) -> Iterator[bytes]:
        while part := self.read(amt):
            yield part

    def release_conn(self) -> None:
        """Do nothing: there is no connection."""

    def close(self) -> None:
        self.file.close()


class Exchange:
    """A request and its response."""

    def __init__(self, method: str, path: str, query: str, *, headers: dict[str, Any], body: Any, caller: str) -> None:
        self._scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(_encoded(name), _encoded(value)) for name, value in headers.items()],
            "client": ("127.0.0.1", 0),
            "server": None,
            CALLER: caller,
        }
        self._is_whole = not hasattr(body, "read")
        self._parts = _parts(body)
        self._is_read = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = _Body()

    async def run(self, application: Application) -> None:
        await application(self._scope, self._receive, self._send)
        self.body.file.seek(0)

    async def _receive(self) -> Message:
        if self._is_read:
            # As a connection that stays open. The application stops waiting when it has answered.
            await asyncio.get_running_loop().create_future()
        part = next(self._parts, b"")
        self._is_read = self._is_whole or not part
        return {"type": "http.request", "body": part, "more_body": not self._is_read}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            for name, value in message.get("headers", []):
                self.headers[name.decode("latin-1")] = value.decode("latin-1")
        elif self._scope["method"] != "HEAD":
            self.body.file.write(message.get("body", b""))


def _encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8")


def _parts(body: bytes | str | BinaryIO | None) -> Iterator[bytes]:
    """Yield the parts of a request's body."""
    if body is None:
        return
    if isinstance(body, str | bytes | bytearray):
        yield bytes(_encoded(body) if isinstance(body, str) else body)
        return
    while part := body.read(_PART_BYTES):
        yield part
