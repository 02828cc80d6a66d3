"""The inventory of a detached embedded AWS, written to its folder while it runs.

`fleetscore up` reads it to report what already runs, or what a killed server lost.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from embedded.ministack.state.contents import Contents, contents

INVENTORY_FILE = "inventory.json"
_WRITE_SECONDS = 2.0
_SHOWN = 5
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Inventory:
    """The contents of an embedded AWS at one time. Times are in seconds since 1970."""

    process_id: int
    boot_id: str
    started_at: float
    written_at: float
    contents: Contents
    running_jobs: list[str]

    @classmethod
    def read(cls, root: Path) -> Inventory | None:
        """Return the last inventory in a folder; None if there is no readable one."""
        try:
            fields = json.loads((root / INVENTORY_FILE).read_text(encoding="utf-8"))
            return cls(**{**fields, "contents": Contents(**fields["contents"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, root: Path) -> None:
        write_private(root / INVENTORY_FILE, json.dumps(asdict(self)))

    @property
    def is_from_another_boot(self) -> bool:
        """Whether the machine has restarted since; False if unknown."""
        return self.boot_id != boot_id()

    def summary(self) -> str:
        """Return a short text with the contents.

        >>> Inventory(1, "", 0, 0, Contents(["FleetscoreDev"], 2, 1500, 1, 3, ["x"]), []).summary()
        'stack FleetscoreDev, 2 objects (1.5 kB), 1 record, 3 executions (1 running)'
        """
        held = self.contents
        stacks = [f"{'stack' if len(held.stacks) == 1 else 'stacks'} {_names(held.stacks)}"] if held.stacks else []
        running = f" ({len(held.running_executions)} running)" if held.running_executions else ""
        figures = [
            f"{_count(held.objects, 'object')} ({_size(held.object_bytes)})",
            _count(held.records, "record"),
            f"{_count(held.executions, 'execution')}{running}",
        ]
        return ", ".join([*stacks, *figures])

    def unfinished(self) -> str:
        """Return which executions and jobs were running; empty if none was."""
        executions, jobs = self.contents.running_executions, self.running_jobs
        parts = [
            *([f"{'executions' if len(executions) > 1 else 'execution'} {_names(executions)}"] if executions else []),
            *([f"{'jobs' if len(jobs) > 1 else 'job'} {_names(jobs)}"] if jobs else []),
        ]
        return " and ".join(parts)


def start_inventory(root: Path, running_jobs: Callable[[], list[str]]) -> Callable[[], None]:
    """Write the inventory of this process every two seconds, in a thread.

    Returns a function that writes the inventory immediately.
    """
    started_at, boot, process_id, lock = time.time(), boot_id(), os.getpid(), threading.Lock()

    def write() -> None:
        # RuntimeError: another thread changed a dictionary. The next write succeeds.
        with lock, suppress(OSError, RuntimeError):
            Inventory(process_id, boot, started_at, time.time(), contents(), running_jobs()).write(root)

    def run() -> None:
        while True:
            write()
            time.sleep(_WRITE_SECONDS)

    threading.Thread(target=run, name="inventory", daemon=True).start()
    return write


def boot_id() -> str:
    """Return the id of the machine's current boot; empty if unknown."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def format_time(seconds: float) -> str:
    """Return a time as text for a message.

    >>> format_time(0)
    '1970-01-01 00:00:00 UTC'
    """
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def write_private(file: Path, text: str) -> None:
    """Replace a file that only this user can read, atomically."""
    written = file.with_name(f"{file.name}.new")
    with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:  # noqa: PTH123
        opened.write(text)
    written.replace(file)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _names(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
