"""The scheduler's clock, which tests and demos can set."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path


class EmbeddedClock:
    """A clock shared by processes through a file.

    Only the scheduler reads it, so setting it affects no other service.

    Example:
        Fire a daily schedule without waiting for it::

            with EmbeddedAws() as aws:
                ...  # create the schedule
                aws.clock.set(aws.clock.now() + timedelta(days=1))
    """

    def __init__(self, root: Path) -> None:
        self._file = root / "clock.json"
        self._read: tuple[tuple[int, int], float] = ((0, 0), 0.0)
        """Inode and time of the file that was read last, and its offset."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self._offset(), UTC)

    def set(self, now: datetime) -> None:
        """Set the clock, which continues at its normal pace.

        Raises:
            ValueError: The time has no time zone.
        """
        if now.tzinfo is None:
            raise ValueError(f"now: {now!r} has no time zone: expected an aware datetime, such as datetime.now(UTC)")
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps({"offset_seconds": now.timestamp() - time.time()}))
        os.replace(written, self._file)  # noqa: PTH105 - atomic, for readers in other processes

    def _offset(self) -> float:
        try:
            found = os.stat(self._file)  # noqa: PTH116 - several times per second, and without a Path's overhead
            version = found.st_ino, found.st_mtime_ns
            if version != self._read[0]:
                self._read = version, float(json.loads(self._file.read_text())["offset_seconds"])
        except FileNotFoundError:
            return 0.0
        return self._read[1]
