"""`fleetscore up --persist`: what the server holds is written to its folder, and restored from it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedded.ministack.s3.object_contents import ContentStore
from embedded.ministack.state import snapshot
from embedded.server.inventory import write_private

KEPT_FILE = "kept.json"
SNAPSHOT_FILE = "snapshot"
PROBLEM_FILE = "not-kept"
"""File with why the last snapshot could not be written."""
OBJECTS, CODE = "objects", "code"
KEPT_NAMES = frozenset({KEPT_FILE, SNAPSHOT_FILE, PROBLEM_FILE, OBJECTS, CODE, "images", "sagemaker", "clock.json"})
"""Files and folders that a restart keeps."""
FORMAT = 1
"""Version of the files. Increase it when an older server's files cannot be read any more."""
_LEAST_SECONDS = 2.0
_REST = 20
"""Time between two snapshots, as a multiple of the time that one takes."""
_logger = logging.getLogger("embedded.keeping")


class KeptDataError(ValueError):
    """The data of a folder cannot be used. The text says what to do."""


@dataclass(frozen=True)
class KeptData:
    """What a restart needs before the server runs: address and key, which shells and queues' URLs name."""

    versions: dict[str, str]
    port: int
    secret_access_key: str

    @classmethod
    def read(cls, root: Path) -> KeptData | None:
        """Return what a folder keeps; None if it keeps nothing.

        Raises:
            KeptDataError: The file is damaged.
        """
        file = root / KEPT_FILE
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as failure:
            raise KeptDataError(
                f"the file {file} is damaged: delete the data with `fleetscore down --delete-data`"
            ) from failure

    def write(self, root: Path) -> None:
        write_private(root / KEPT_FILE, json.dumps(asdict(self), indent=2))

    def check(self, root: Path) -> None:
        """Check that this version can read the data.

        Raises:
            KeptDataError: Naming both versions.
        """
        if self.versions != (now := versions()):
            was, is_ = (", ".join(f"{name} {value}" for name, value in each.items()) for each in (self.versions, now))
            raise KeptDataError(
                f"the data in {root.parent} were kept by another version ({was}; this is {is_}): use that version, "
                "another --state-dir, or delete the data with `fleetscore down --delete-data`"
            )


def versions() -> dict[str, str]:
    """Return what must be the same to read kept data."""
    return {"format": str(FORMAT), "ministack": importlib.metadata.version("ministack")}


class Keeper:
    """Writes snapshots of a server while it runs.

    Args:
        save: Returns the state of the services that are not ministack's.
        is_busy: Whether something runs that changes the state without requests.
    """

    def __init__(
        self, root: Path, store: ContentStore, save: Callable[[], dict[str, Any]], is_busy: Callable[[], bool]
    ) -> None:
        self._file, self._store, self._save, self._is_busy = root / SNAPSHOT_FILE, store, save, is_busy
        self._problem = root / PROBLEM_FILE
        self._requests = 0
        self._is_stale = True
        snapshot.prepare(str(root / CODE))

    def restore(self) -> dict[str, Any] | None:
        """Restore ministack's services, and return the state of the others; None if nothing was kept yet.

        Raises:
            KeptDataError: The snapshot is damaged.
        """
        try:
            return snapshot.restore(self._file.read_bytes(), self._store)
        except FileNotFoundError:
            return None
        except Exception as failure:
            raise KeptDataError(
                f"the file {self._file} is damaged: delete the data with `fleetscore down --delete-data`"
            ) from failure

    def counted(self, application: Any) -> Any:
        """Return an ASGI application that notices requests: they may change the state."""

        async def call(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
            self._requests += 1
            try:
                await application(scope, receive, send)
            finally:
                self._requests += 1

        return call

    async def run(self) -> None:
        """Write a snapshot after changes, for ever."""
        took, seen = 0.0, -1
        while True:
            await asyncio.sleep(max(_LEAST_SECONDS, _REST * took))
            is_busy = self._is_busy()
            if self._requests == seen and not is_busy and not self._is_stale:
                continue
            seen, began = self._requests, time.monotonic()
            is_written = self.write()
            # One more is due after the end of what is busy.
            self._is_stale = is_busy or not is_written
            took = time.monotonic() - began

    def write(self) -> bool:
        """Replace the snapshot. Return False if that is not possible now.

        It runs in the thread of the event loop, so that no request is half done in it.
        """
        if snapshot.is_deploying():
            return False
        dropped = self._store.take_dropped()
        written = self._file.with_name(f"{self._file.name}.new")
        try:
            with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
                file.write(snapshot.take(self._save()))
                file.flush()
                os.fsync(file.fileno())
            written.replace(self._file)
        except Exception as failure:
            _logger.exception("The snapshot cannot be written: later changes are lost if the embedded AWS ends")
            with suppress(OSError):
                write_private(self._problem, f"{type(failure).__name__}: {failure}")
            self._store.keep_for_later(dropped)
            return False
        with suppress(OSError):
            self._problem.unlink(missing_ok=True)
            self._store.delete(dropped)
        return True
