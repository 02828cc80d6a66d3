"""An object's file as its outputs copy it: opened, taken apart and hashed once, however many models write one."""

import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from scoring.output import BegunDigest
from scoring.splice.footer import Footer, FooterError, read_footer
from scoring.splice.refusal import refusal_of

_DIGEST_STEP = 1 << 18


class SpliceSource:
    """The input of any number of spliced outputs. Use as a context manager; it is for one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb", buffering=0)
        self._found = os.fstat(self.file.fileno())
        self._refusals: dict[tuple[pa.Field, ...], str | None] = {}

    def __enter__(self) -> "SpliceSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    @functools.cached_property
    def footer(self) -> Footer:
        """Raises FooterError when it cannot be understood."""
        return read_footer(self.file)

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """As Arrow reads it."""
        return pq.read_schema(self.path)

    @functools.cached_property
    def digest(self) -> BegunDigest:
        """Of everything before the footer: all outputs begin with it, whatever their model.

        A copy that went wrong would differ from what this says.
        """
        left = self.footer.start
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(min(left, _DIGEST_STEP)))
        self.file.seek(0)
        while left:
            count = self.file.readinto(buffer[: min(left, _DIGEST_STEP)])
            if not count:
                raise EOFError(f"file {self.path} ends {left:,} bytes before its footer")
            digest.update(buffer[:count])
            left -= count
        return BegunDigest(digest, self.footer.start)

    @property
    def unchanged(self) -> bool:
        """Whether it is still what it was when it was opened."""
        now = os.fstat(self.file.fileno())
        return (now.st_size, now.st_mtime_ns) == (self._found.st_size, self._found.st_mtime_ns)

    def refusal(self, columns: Sequence[pa.Field]) -> str | None:
        """Why this file cannot be spliced with these prediction columns, or None when it can."""
        key = tuple(columns)
        if key not in self._refusals:
            try:
                self._refusals[key] = refusal_of(self.footer, key)
            except FooterError as error:
                self._refusals[key] = str(error)
        return self._refusals[key]
