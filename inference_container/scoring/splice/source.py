"""The input file of spliced outputs: read, parsed and hashed once for all models of a job."""

import functools
import os
from collections.abc import Sequence
from concurrent.futures import CancelledError, Executor, Future, wait
from io import FileIO
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from scoring.files.digests import NOTHING, PrefixDigest, extended
from scoring.splice.footer.new_footer import FooterExtension
from scoring.splice.footer.parsed_footer import Footer, FooterError, parse_footer, read_footer
from scoring.splice.refusal import refusal_of

_DIGEST_BYTES = 1 << 18
"""Bytes hashed per step."""
_MAX_SCHEMAS = 2
_schemas: dict[tuple[object, ...], pa.Schema] = {}
"""Schemas as Arrow reads them, by what they depend on in a footer: objects of a dataset usually have
one."""


class SpliceSource:
    """The input file of any number of outputs; a context manager for one thread."""

    def __init__(self, path: Path, *, in_memory: bool = False) -> None:
        """With `in_memory`, the file is read at once, when it is first needed."""
        self.path = path
        self.in_memory = in_memory
        self._status = path.stat()
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
        # Opened and read only if it was needed.
        if "file" in self.__dict__:
            self.file.close()
        self.__dict__.pop("content", None)

    def stop(self) -> None:
        """Cancel hashing that no output needs any more, and wait for its end."""
        self._cancelled = True
        if self._hashing is not None and not self._hashing.cancel():
            wait([self._hashing])

    @functools.cached_property
    def file(self) -> FileIO:
        """The open file."""
        return FileIO(self.path)

    @functools.cached_property
    def content(self) -> bytes:
        """The whole file, in memory."""
        with FileIO(self.path) as file:
            return file.readall()

    @functools.cached_property
    def footer(self) -> Footer:
        """The parsed footer. Raises FooterError if it is malformed."""
        if self.in_memory:
            content = self.content
            return parse_footer(len(content), lambda size, start: content[start : start + size])
        return read_footer(self.file)

    @property
    def prefix(self) -> memoryview:
        """Everything before the footer, in memory."""
        return memoryview(self.content)[: self.footer.start]

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
        key = (self.footer.schema, self.footer.metadata)
        schema = _schemas.get(key)
        if schema is None:
            schema = pq.read_schema(pa.BufferReader(self.content) if self.in_memory else self.path)
            if len(_schemas) >= _MAX_SCHEMAS:
                _schemas.clear()
            _schemas[key] = schema
        return schema

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
        digest = NOTHING
        if self.in_memory:
            return extended(digest, self.prefix)
        while digest.bytes < end:
            if self._cancelled:
                # The digest of a part must not be taken for that of the whole.
                raise CancelledError
            # pread, because other threads copy from the same file.
            left = end - digest.bytes
            data = os.pread(self.file.fileno(), min(left, _DIGEST_BYTES), digest.bytes)
            if not data:
                raise EOFError(f"file {self.path} ends {left:,} bytes before its footer")
            digest = extended(digest, data)
        return digest

    @property
    def unchanged(self) -> bool:
        """Whether this is still the same file, with the same size and modification time."""
        now, then = self.path.stat(), self._status
        return (now.st_ino, now.st_size, now.st_mtime_ns) == (then.st_ino, then.st_size, then.st_mtime_ns)

    def refusal(self, columns: Sequence[pa.Field]) -> str | None:
        """Return why this file cannot be spliced with these prediction columns, None if it can."""
        key = tuple(columns)
        if key not in self._refusals:
            try:
                self._refusals[key] = refusal_of(self.footer, key)
            except FooterError as error:
                self._refusals[key] = str(error)
        return self._refusals[key]
