"""The HTTP server of the embedded AWS: uvicorn, with the settings that AWS's clients need."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Callable[[], Awaitable[Message]], Send], Awaitable[None]]

_IDLE_SECONDS = 75
"""Time after which a connection without a request is closed, in seconds."""


async def serve_http(
    application: Application, listener: socket.socket, certificate: Path, private_key: Path, closed: asyncio.Event
) -> None:
    """Serve an ASGI application over TLS on a listening socket until `closed` is set."""
    server = _Server(
        uvicorn.Config(
            application,
            http="httptools",
            ws="none",
            lifespan="on",
            ssl_certfile=certificate,
            ssl_keyfile=private_key,
            timeout_keep_alive=_IDLE_SECONDS,
            server_header=False,
            # Responses have a date already, and clients cannot read two.
            date_header=False,
            # No proxy is in front, so a client may not say that it uses TLS.
            proxy_headers=False,
            access_log=False,
            log_config=None,
        ),
        closed,
    )
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that leaves the signals to the process, and serves until an event."""

    def __init__(self, config: uvicorn.Config, closed: asyncio.Event) -> None:
        super().__init__(config)
        self._closed = closed

    async def main_loop(self) -> None:
        # uvicorn's wakes ten times a second to renew the headers that are disabled here.
        await self._closed.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
