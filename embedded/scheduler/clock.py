"""The scheduler's clock: the real one, or set to another time from where it goes on."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path


class EmbeddedClock:
    """Shared by processes through a file; nothing but the scheduler reads it, so moving it disturbs no other part."""

    def __init__(self, root: Path) -> None:
        self._file = root / "clock.json"

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self._offset(), UTC)

    def set(self, now: datetime) -> None:
        """Let the clock show this time, from where it goes on at its pace.

        Raises:
            ValueError: when the time has no time zone.
        """
        if now.tzinfo is None:
            raise ValueError(f"now: {now!r} has no time zone, so it is no moment")
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps({"offset_seconds": now.timestamp() - time.time()}))
        os.replace(written, self._file)  # noqa: PTH105 - another process reads it: whole or not at all

    def _offset(self) -> float:
        try:
            return float(json.loads(self._file.read_text())["offset_seconds"])
        except FileNotFoundError:
            return 0.0
