"""The requests that the embedded AWS refused because they violate botocore's model of their service."""

import json
from pathlib import Path


class Violations:
    """The log of this process's embedded AWSs, read bit by bit."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0

    def take(self) -> list[str]:
        """Return the violations since the last call. A test that makes one on purpose calls it to accept them."""
        lines = self._log.read_text(encoding="utf-8").splitlines() if self._log.exists() else []
        new, self._read = lines[self._read :], len(lines)
        return [f"{line['operation']}: {'; '.join(line['problems'])}" for line in map(json.loads, new)]
