"""An object's file as its outputs copy it: opened, taken apart and hashed once, however many models write one."""

import functools
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import CancelledError, Executor, Future, wait
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from scoring.outputs.atomic_files import PrefixDigest
from scoring.splice.footer.parsed_footer import Footer, FooterError, read_footer
from scoring.splice.refusal import refusal_of

_DIGEST_STEP = 1 << 18


class SpliceSource:
    """The input of any number of spliced outputs. Use as a context manager, from one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb", buffering=0)
        self._found = os.fstat(self.file.fileno())
        self._hashing: Future[PrefixDigest] | None = None
        self._unwanted = False
        self._refusals: dict[tuple[pa.Field, ...], str | None] = {}

    def __enter__(self) -> "SpliceSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.file.close()

    def stop(self) -> None:
        """End what threads do for outputs that nobody wants any more. Returns when they have."""
        self._unwanted = True
        if self._hashing is not None and not self._hashing.cancel():
            wait([self._hashing])

    @functools.cached_property
    def footer(self) -> Footer:
        """Raises FooterError when it cannot be understood."""
        return read_footer(self.file)

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """As Arrow reads it."""
        return pq.read_schema(self.path)

    def hash_on(self, executor: Executor) -> None:
        """Let a thread of the executor find out the digest beforehand; once, however often this is called."""
        if self._hashing is None:
            self._hashing = executor.submit(self._hash)

    @functools.cached_property
    def digest(self) -> PrefixDigest:
        """Of everything before the footer: all outputs begin with it, whatever their model.

        A copy that went wrong would differ from what this says.
        """
        if self._hashing is not None:
            try:
                return self._hashing.result()
            except CancelledError:
                pass
        return self._hash()

    def _hash(self) -> PrefixDigest:
        end = self.footer.start
        digest = hashlib.sha256()
        at = 0
        while at < end:
            if self._unwanted:
                # Nobody may take the digest of half of it for that of the whole.
                raise CancelledError
            # From a place, and not from where the file stands: others copy from it at the same time.
            data = os.pread(self.file.fileno(), min(end - at, _DIGEST_STEP), at)
            if not data:
                raise EOFError(f"file {self.path} ends {end - at:,} bytes before its footer")
            digest.update(data)
            at += len(data)
        return PrefixDigest(digest, end)

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
