"""A server of AWS's requests for measurements, which takes little of the processor's time.

The embedded AWS would need an hour for 100,000 objects, and the processor that the measured code needs.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from xml.sax.saxutils import escape


class Answers(Protocol):
    """Answers requests as AWS would."""

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
        """Return the status, the body, and further lines of the head, each with its end."""


def serve(answers: Answers) -> None:
    """Answer over HTTP without encryption, until standard input is closed. Print the port first."""
    asyncio.run(_serve(answers))


def listing(prefix: str, contents: Iterable[str], continue_after: str) -> bytes:
    """Return the body of a ListObjectsV2. `contents` has the element of each object.

    `continue_after` is the last key if there are more objects, or empty.
    """
    found = list(contents)
    token = f"<NextContinuationToken>{escape(continue_after)}</NextContinuationToken>" if continue_after else ""
    return (
        f"<ListBucketResult><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(found)}</KeyCount>"
        f"<EncodingType>url</EncodingType><IsTruncated>{str(bool(continue_after)).lower()}</IsTruncated>{token}"
        f"{''.join(found)}</ListBucketResult>"
    ).encode()


@contextmanager
def running_server(module: str, work: Mapping[str, Any]) -> Iterator[str]:
    """Run a module that serves in a process of its own, and yield its URL. `work` is its argument as JSON."""
    command = [sys.executable, "-m", module, json.dumps(work)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        port = process.stdout.readline().strip() if process.stdout else ""
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.communicate()


class _Connection(asyncio.Protocol):
    """One connection of a client, which sends its next request after the answer."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._received = bytearray()
        self._continued = False
        """Whether the body of the current request was asked for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = bytes(self._received).partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if len(body) < int(headers.get("content-length", 0)):
            if "expect" in headers and not self._continued:
                self._continued = True
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._continued = False
        self._received.clear()
        method, target, _ = first.split(" ")
        status, answer, more = self._answers.answer(method, target, headers, body)
        start = f"HTTP/1.1 {status} OK\r\nContent-Length: {len(answer)}\r\n{more}\r\n"
        self._transport.write(start.encode() + answer)


async def _serve(answers: Answers) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
