"""`fleetscore up --persist`: snapshots of the server's state, and the restart from them."""

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

PERSISTED_FILE = "persisted.json"
SNAPSHOT_FILE = "snapshot"
PROBLEM_FILE = "persistence-problem"
"""File with the reason why the last snapshot could not be written."""
OBJECTS, CODE = "objects", "code"
PERSISTED_NAMES = frozenset(
    {PERSISTED_FILE, SNAPSHOT_FILE, PROBLEM_FILE, OBJECTS, CODE, "images", "sagemaker", "clock.json"}
)
"""Files and folders that survive a restart."""
FORMAT = 2
"""Version of the files. Increase it with every incompatible change."""
_SHORTEST_PAUSE_SECONDS = 2.0
_PAUSE_FACTOR = 20
"""Pause between two snapshots, as a multiple of the duration of one."""
_logger = logging.getLogger("embedded.persistence")


class PersistedDataError(ValueError):
    """The persisted data of a folder cannot be used. The text says what to do."""


@dataclass(frozen=True)
class PersistedData:
    """Settings that must stay the same after a restart: shells and queue URLs contain them."""

    versions: dict[str, str]
    port: int
    secret_access_key: str

    @classmethod
    def read(cls, root: Path) -> PersistedData | None:
        """Return the persisted settings of a folder; None if it has none.

        Raises:
            PersistedDataError: The file is damaged.
        """
        file = root / PERSISTED_FILE
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as failure:
            raise PersistedDataError(
                f"the file {file} is damaged: delete the data with `fleetscore down --delete-data`"
            ) from failure

    def write(self, root: Path) -> None:
        write_private(root / PERSISTED_FILE, json.dumps(asdict(self), indent=2))

    def check(self, root: Path) -> None:
        """Check that this version can read the data.

        Raises:
            PersistedDataError: Another version wrote the data; the message names both.
        """
        if self.versions != (now := versions()):
            was, is_ = (", ".join(f"{name} {value}" for name, value in each.items()) for each in (self.versions, now))
            raise PersistedDataError(
                f"the data in {root.parent} were written by another version ({was}; this is {is_}): use that version, "
                "another --state-dir, or delete the data with `fleetscore down --delete-data`"
            )


def versions() -> dict[str, str]:
    """Return the versions with which persisted data can be read."""
    return {"format": str(FORMAT), "ministack": importlib.metadata.version("ministack")}


class SnapshotWriter:
    """Writes snapshots of a running server, and restores the last one.

    Args:
        save: Returns the state of our own services.
        is_busy: Returns whether an execution or a job runs, which changes the state without
            requests.
    """

    def __init__(
        self, root: Path, store: ContentStore, save: Callable[[], dict[str, Any]], is_busy: Callable[[], bool]
    ) -> None:
        self._file, self._store, self._save, self._is_busy = root / SNAPSHOT_FILE, store, save, is_busy
        self._problem = root / PROBLEM_FILE
        self._requests = 0
        self._is_stale = True
        snapshot.keep_function_code(str(root / CODE))

    def restore(self) -> dict[str, Any] | None:
        """Restore ministack's services, and return the state of ours; None without a snapshot.

        Raises:
            PersistedDataError: The snapshot is damaged.
        """
        try:
            return snapshot.restore(self._file.read_bytes(), self._store)
        except FileNotFoundError:
            return None
        except Exception as failure:
            raise PersistedDataError(
                f"the file {self._file} is damaged: delete the data with `fleetscore down --delete-data`"
            ) from failure

    def counted(self, application: Any) -> Any:
        """Wrap an ASGI application so that requests are counted: they may change the state."""

        async def call(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
            self._requests += 1
            try:
                await application(scope, receive, send)
            finally:
                self._requests += 1

        return call

    async def run(self) -> None:
        """Write a snapshot after each change, until cancelled."""
        took, seen = 0.0, -1
        while True:
            await asyncio.sleep(max(_SHORTEST_PAUSE_SECONDS, _PAUSE_FACTOR * took))
            is_busy = self._is_busy()
            if self._requests == seen and not is_busy and not self._is_stale:
                continue
            seen, began = self._requests, time.monotonic()
            is_written = self.write()
            # Write one more snapshot when the running work has ended.
            self._is_stale = is_busy or not is_written
            took = time.monotonic() - began

    def write(self) -> bool:
        """Replace the snapshot. Return False if that is not possible now.

        Call this in the event loop's thread, so that no request is half applied.
        """
        if snapshot.is_deploying():
            return False
        dropped = self._store.take_dropped()
        written = self._file.with_name(f"{self._file.name}.new")
        try:
            with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
                file.write(snapshot.take_snapshot(self._save()))
                file.flush()
                os.fsync(file.fileno())
            written.replace(self._file)
        except Exception as failure:
            _logger.exception("The snapshot cannot be written: later changes are lost if the embedded AWS ends")
            with suppress(OSError):
                write_private(self._problem, f"{type(failure).__name__}: {failure}")
            self._store.put_back_dropped(dropped)
            return False
        with suppress(OSError):
            self._problem.unlink(missing_ok=True)
            self._store.delete(dropped)
        return True
