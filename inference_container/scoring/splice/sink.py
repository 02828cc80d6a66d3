"""One output object: its input's bytes, then the prediction columns, then a new footer."""

import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contract.thrift_compact import ThriftError
from scoring.errors import ScoringError, one_line
from scoring.output import BegunDigest
from scoring.splice.assembly import assemble
from scoring.splice.footer import Footer, FooterError, read_footer
from scoring.splice.pieces import Pieces
from scoring.splice.refusal import refusal_of


class SpliceError(ScoringError):
    """A file that cannot be spliced, or a spliced one that is not what it must be."""


@functools.lru_cache(maxsize=1)
def _footer_of(source: Path, identity: tuple[int, ...]) -> Footer:
    """The footer of a file, taken apart once for all models of a job; `identity` tells whether it is still the file."""
    del identity
    with source.open("rb", buffering=0) as file:
        return read_footer(file)


@functools.lru_cache(maxsize=8)
def _refusal_of(source: Path, identity: tuple[int, ...], columns: tuple[pa.Field, ...]) -> str | None:
    return refusal_of(_footer_of(source, identity), columns)


_DIGEST_STEP = 1 << 18


@functools.lru_cache(maxsize=1)
def _digest_of_data(source: Path, identity: tuple[int, ...], end: int) -> BegunDigest:
    """Of everything before the footer: all outputs of an object begin with it, whatever their model."""
    del identity
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_DIGEST_STEP))
    left = end
    with source.open("rb", buffering=0) as file:
        while left:
            count = file.readinto(buffer[: min(left, _DIGEST_STEP)])
            if not count:
                raise EOFError(f"file {source} ends {left:,} bytes before its footer")
            digest.update(buffer[:count])
            left -= count
    return BegunDigest(digest, end)


class SplicedSink:
    """Takes prediction columns only, in the input's order. Memory is bounded by the batches and a few megabytes.

    The input's pages are copied when the sink is closed, by the kernel; they are neither decoded nor looked at.

    Raises SpliceError when the input cannot be spliced: ask `refusal` before.
    """

    def __init__(self, path: Path, source: Path, columns: Sequence[pa.Field]) -> None:
        self.path = path
        self.rows = 0
        self._source_path = source
        self._columns = tuple(columns)
        self._source = source.open("rb", buffering=0)
        try:
            self._found = os.fstat(self._source.fileno())
            identity = self._identity = (
                self._found.st_dev,
                self._found.st_ino,
                self._found.st_size,
                self._found.st_mtime_ns,
            )
            self._footer = _footer_of(source, identity)
            if reason := _refusal_of(source, identity, self._columns):
                raise FooterError(reason)
            self._pieces = Pieces(
                path.with_name(f"{path.name}.pieces"),
                self._columns,
                [group.rows for group in self._footer.groups],
                page_index=self._footer.has_page_index,
            )
        except FooterError as error:
            self._source.close()
            raise SpliceError(f"file {source} cannot be spliced, because {error}: write its output anew") from error
        except BaseException:
            self._source.close()
            raise

    def write(self, columns: list[pa.Array]) -> None:
        """Add the next rows, one array a prediction column."""
        rows = len(columns[0]) if columns else 0
        if self.rows + rows > self._footer.rows:
            raise self._wrong_rows(self.rows + rows)
        try:
            self._pieces.write(columns)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
            raise SpliceError(
                f"prediction columns {[f'{field.name}: {field.type}' for field in self._columns]} were expected, but "
                f"rows {self.rows:,} to {self.rows + rows - 1:,} do not suit them ({one_line(error)}): this is a fault "
                "of Fleetscore, report it with the model's record"
            ) from error
        self.rows += rows

    def close(self) -> None:
        """Write the file. Raises SpliceError when rows are missing, or when the file reads as anything else."""
        if self.rows != self._footer.rows:
            raise self._wrong_rows(self.rows)
        now = os.fstat(self._source.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._found.st_size, self._found.st_mtime_ns):
            raise SpliceError(f"file {self._source_path} was changed while it was scored: start a new execution")
        try:
            pieces = self._pieces.finish()
            size = assemble(self.path, self._source, self._footer, self._columns, pieces)
        except (FooterError, ThriftError, EOFError) as error:
            raise self._not_as_expected(one_line(error)) from error
        self._verify(size, len(self._footer.leaves) + len(pieces.footer.leaves))
        self._close_files()

    def begun_digest(self) -> BegunDigest:
        """The digest of what was copied, from the input: a copy that went wrong would differ from what it says."""
        return _digest_of_data(self._source_path, self._identity, self._footer.start)

    def discard(self) -> None:
        """Close and remove the file; safe to call at any time."""
        self._close_files()
        self.path.unlink(missing_ok=True)

    def _close_files(self) -> None:
        self._pieces.discard()
        self._source.close()

    def _verify(self, size: int, leaves: int) -> None:
        """Let another implementation read the footer: what it says must be the input and the new columns."""
        try:
            expected = pq.read_schema(self._source_path)
            found = pq.read_metadata(self.path)
            schema = found.schema.to_arrow_schema()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._not_as_expected(one_line(error)) from error
        inputs = len(expected)
        differences = [
            f"{what} {is_}, {should:,} expected"
            for what, is_, should in (
                ("bytes", self.path.stat().st_size, size),
                ("rows", found.num_rows, self._footer.rows),
                ("row groups", found.num_row_groups, len(self._footer.groups)),
                ("columns", found.num_columns, leaves),
            )
            if is_ != should
        ]
        if list(schema)[:inputs] != list(expected) or schema.names[inputs:] != [field.name for field in self._columns]:
            differences.append("another schema than the input's with the prediction columns")
        if differences:
            raise self._not_as_expected("; ".join(differences))

    def _wrong_rows(self, rows: int) -> SpliceError:
        return SpliceError(
            f"{rows:,} rows of predictions for the {self._footer.rows:,} rows that the footer of {self._source_path} "
            "names: the file is damaged, or was not read to its end; write it again and start a new execution"
        )

    def _not_as_expected(self, why: str) -> SpliceError:
        return SpliceError(
            f"the output of {self._source_path} was spliced, but does not read as it should ({why}): nothing of it is "
            "kept; report this with the input file's footer, and write the input again by another library meanwhile"
        )
