"""The input file of spliced outputs: opened, parsed and hashed once for all models of a job."""

import functools
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import CancelledError, Executor, Future, wait
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from scoring.files.digests import PrefixDigest
from scoring.splice.footer.new_footer import FooterExtension
from scoring.splice.footer.parsed_footer import Footer, FooterError, read_footer
from scoring.splice.refusal import refusal_of

_DIGEST_BYTES = 1 << 18
"""Bytes hashed per step."""


class SpliceSource:
    """The input file of any number of outputs; a context manager for one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb", buffering=0)
        self._opened = os.fstat(self.file.fileno())
        self._hashing: Future[PrefixDigest] | None = None
        self._cancelled = False
        self._refusals: dict[tuple[pa.Field, ...], str | None] = {}
        self._extensions: dict[tuple[object, ...], FooterExtension] = {}
        self.verified: list[FooterExtension] = []
        """Extensions with which an output has been read by another implementation."""

    def __enter__(self) -> "SpliceSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.file.close()

    def stop(self) -> None:
        """Cancel hashing that no output needs any more, and wait for its end."""
        self._cancelled = True
        if self._hashing is not None and not self._hashing.cancel():
            wait([self._hashing])

    @functools.cached_property
    def footer(self) -> Footer:
        """The parsed footer. Raises FooterError if it is malformed."""
        return read_footer(self.file)

    @functools.cached_property
    def prefix(self) -> bytes:
        """Everything before the footer, in memory."""
        data = os.pread(self.file.fileno(), self.footer.start, 0)
        if len(data) != self.footer.start:
            raise EOFError(f"file {self.path} ends before its footer")
        return data

    def extension(self, columns: tuple[pa.Field, ...], added: Footer) -> FooterExtension:
        """Return the extension of the footer by columns that are encoded with the footer `added`."""
        key = (columns, added.schema)
        if key not in self._extensions:
            self._extensions[key] = FooterExtension.of(self.footer, added, columns)
        return self._extensions[key]

    @functools.cached_property
    def has_page_index(self) -> bool:
        return self.footer.has_page_index

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """The schema as Arrow reads it."""
        return pq.read_schema(self.path)

    def start_hashing(self, executor: Executor) -> None:
        """Compute the digest on a thread of the executor. Idempotent."""
        if self._hashing is None:
            self._hashing = executor.submit(self._hash)

    @functools.cached_property
    def digest(self) -> PrefixDigest:
        """Digest of everything before the footer, the common beginning of all outputs.

        It is computed from the input, so that a faulty copy does not match it.
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
            if self._cancelled:
                # The digest of a part must not be taken for that of the whole.
                raise CancelledError
            # pread, because other threads copy from the same file.
            data = os.pread(self.file.fileno(), min(end - at, _DIGEST_BYTES), at)
            if not data:
                raise EOFError(f"file {self.path} ends {end - at:,} bytes before its footer")
            digest.update(data)
            at += len(data)
        return PrefixDigest(digest, end)

    @property
    def unchanged(self) -> bool:
        """Whether size and modification time are the same as when the file was opened."""
        now = os.fstat(self.file.fileno())
        return (now.st_size, now.st_mtime_ns) == (self._opened.st_size, self._opened.st_mtime_ns)

    def refusal(self, columns: Sequence[pa.Field]) -> str | None:
        """Return why this file cannot be spliced with these prediction columns, None if it can."""
        key = tuple(columns)
        if key not in self._refusals:
            try:
                self._refusals[key] = refusal_of(self.footer, key)
            except FooterError as error:
                self._refusals[key] = str(error)
        return self._refusals[key]
