"""The HTTP server of the embedded AWS, over real TLS connections."""

import asyncio
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded.http.server import HttpServer, tls_context
from embedded.server.certificates import make_certificates

Message = dict[str, Any]
BIG = 3 << 20


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer with the body that was received; the path says how."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/broken":
        raise RuntimeError("for a test")
    body, more = b"", scope["path"] != "/unread"
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"x-path", scope["raw_path"]), (b"x-query", scope["query_string"])]
    if scope["path"] == "/parts":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for start in range(0, len(body), 1_000):
            await send({"type": "http.response.body", "body": body[start : start + 1_000], "more_body": True})
        await send({"type": "http.response.body"})
        return
    await send({"type": "http.response.start", "status": 204 if scope["path"] == "/empty" else 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Served:
    """A server in a thread of its own."""

    def __init__(self, folder: Path, idle_seconds: float) -> None:
        self._tls = make_certificates(folder)
        self.context = ssl.create_default_context(cafile=str(self._tls.ca_bundle))
        self._idle_seconds = idle_seconds

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        loop, closed = asyncio.new_event_loop(), asyncio.Event()

        async def serve() -> None:
            context = tls_context(self._tls.certificate, self._tls.private_key)
            ready.set()
            await HttpServer(application, context, idle_seconds=self._idle_seconds).serve(listener, closed)

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        assert ready.wait(10)
        try:
            yield
        finally:
            loop.call_soon_threadsafe(closed.set)
            thread.join(10)
        assert not thread.is_alive()

    def connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=10)

    def exchange(self, sent: bytes, *, until: bytes | None = None) -> bytes:
        """Send bytes, and return what the server sends until it closes the connection, or until a text."""
        raw = socket.create_connection(("localhost", self.port), timeout=10)
        with self.context.wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(sent)
            received = b""
            while part := client.recv(65_536):
                received += part
                if until is not None and until in received:
                    break
            return received


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("tls"), idle_seconds=60)
    with served.running():
        yield served


def test_a_connection_serves_requests_one_after_the_other(server: Served) -> None:
    client = server.connection()
    for body in (b"", b"first", bytes(BIG)):
        client.request("PUT", "/a%20b?list=1", body)
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, body)
        assert (answer.headers["x-path"], answer.headers["x-query"]) == ("/a%20b", "list=1")
        assert answer.headers["date"]
    client.close()


def test_bodies_in_chunks_are_read_and_sent(server: Served) -> None:
    client = server.connection()
    client.request("POST", "/parts", iter([b"one", b"x" * 5_000, b"three"]), encode_chunked=True)
    answer = client.getresponse()
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.read() == b"one" + b"x" * 5_000 + b"three"
    client.close()


def test_chunks_may_arrive_a_byte_at_a_time(server: Served) -> None:
    sent = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2;a=b\r\nok\r\n0\r\nt: v\r\n\r\n"
    raw = socket.create_connection(("localhost", server.port), timeout=10)
    with server.context.wrap_socket(raw, server_hostname="localhost") as client:
        for byte in sent:
            client.sendall(bytes([byte]))
        received = b""
        while part := client.recv(65_536):
            received += part
    assert received.endswith(b"\r\n\r\nok")


def test_pipelined_requests_are_answered_in_order(server: Served) -> None:
    first = b"PUT /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\none"
    last = b"PUT /2 HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo"
    received = server.exchange(first + last)
    assert received.index(b"one") < received.index(b"x-path: /2") < received.index(b"two")


def test_a_client_that_waits_gets_100_continue(server: Served) -> None:
    head = b"PUT / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    assert server.exchange(head, until=b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_body_that_nobody_reads_ends_the_connection(server: Served) -> None:
    head = b"PUT /unread HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    received = server.exchange(head)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in received


def test_answers_without_a_body_have_none(server: Served) -> None:
    client = server.connection()
    for method, path, status in (("HEAD", "/", 200), ("GET", "/empty", 204)):
        client.request(method, path, b"body")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (status, b"")
    client.close()


def test_an_error_of_the_application_is_an_internal_error(server: Served) -> None:
    client = server.connection()
    client.request("GET", "/broken")
    assert client.getresponse().status == 500
    client.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET http://elsewhere/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"GET / HTTP/1.1\r\nName : value\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: value\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"PUT / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_no_clear_request_is_refused(server: Served, sent: bytes) -> None:
    assert server.exchange(sent).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_an_endless_head_ends_the_connection(server: Served) -> None:
    with contextlib.suppress(OSError):  # the server may close while the client still sends
        assert b"200 OK" not in server.exchange(b"GET /" + b"x" * (1 << 17))


def test_a_wrong_chunk_ends_the_connection(server: Served) -> None:
    head = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b"200 OK" not in server.exchange(head + b"2\r\nabc\r\n0\r\n\r\n")
    assert b"200 OK" not in server.exchange(head + b"-2\r\nab\r\n")


def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    served = Served(tmp_path, idle_seconds=0.2)
    with served.running():
        assert served.exchange(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
        assert served.exchange(b"") == b""
