"""Writes one spliced output: its input's bytes, the prediction columns, a new footer."""

import functools
from collections.abc import Sequence
from concurrent.futures import Executor
from io import FileIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contract.dataset.thrift_compact import ThriftError
from scoring.errors import ScoringError, describe_error
from scoring.files.digests import PrefixDigest, extended
from scoring.files.ranges import append, append_all
from scoring.splice.assembly import appended_parts
from scoring.splice.copied_prefix import CopiedPrefix
from scoring.splice.footer.parsed_footer import FooterError
from scoring.splice.prediction_chunks import PredictionChunks, SharedPartFiles
from scoring.splice.source import SpliceSource


class SpliceError(ScoringError):
    """A file cannot be spliced, or the spliced output is not as expected."""


class SplicedWriter:
    """Writer of an output, which takes only the prediction columns, in the input's row order.

    Memory is bounded by the batches and a few megabytes. The kernel copies the input's pages, on
    `close` or in the background; they are neither decoded nor checked.

    Raises:
        SpliceError: The input cannot be spliced; call `SpliceSource.refusal` first.
    """

    def __init__(
        self, path: Path, source: SpliceSource, columns: Sequence[pa.Field], shared: SharedPartFiles | None = None
    ) -> None:
        self.path = path
        self.rows = 0
        self._source = source
        self._columns = tuple(columns)
        if reason := source.refusal(self._columns):
            raise SpliceError(f"file {source.path} cannot be spliced, because {reason}: re-encode its output")
        self._footer = source.footer
        self._prefix = CopiedPrefix(path, source)
        self._digest: PrefixDigest | None = None
        """Digest of the file, if it is written from memory."""
        self._predictions = PredictionChunks(
            path,
            self._columns,
            [group.rows for group in self._footer.groups],
            page_index=source.has_page_index,
            shared=shared,
        )

    def start_copying(self, executor: Executor) -> None:
        """Copy and hash the input's bytes on threads of the executor instead of on `close`."""
        self._prefix.start_copying(executor)

    def write(self, columns: list[pa.Array]) -> None:
        """Append rows, one array per prediction column."""
        rows = len(columns[0]) if columns else 0
        if self.rows + rows > self._footer.rows:
            raise self._wrong_rows(self.rows + rows)
        try:
            self._predictions.write(columns)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
            raise SpliceError(
                f"prediction columns {[f'{field.name}: {field.type}' for field in self._columns]} were expected, but "
                f"rows {self.rows:,} to {self.rows + rows - 1:,} do not fit ({describe_error(error)}): this is a bug "
                "in Fleetscore, report it with the model's record"
            ) from error
        self.rows += rows

    def close(self) -> None:
        """Complete and verify the file.

        pyarrow reads the footer of the first output with these columns; further ones differ from it
        in numbers only.

        Raises:
            SpliceError: Rows are missing, or the file does not read as expected.
        """
        if self.rows != self._footer.rows:
            raise self._wrong_rows(self.rows)
        if not self._source.unchanged:
            raise SpliceError(f"file {self._source.path} was changed while it was scored")
        try:
            encoded = self._predictions.finish()
            extension = self._source.extension(self._columns, encoded.footer)
            ranges, rest = appended_parts(extension, encoded)
            if self._source.in_memory and not self._prefix.is_copying:
                self._write_from_memory([*(encoded.read(each.start, len(each)) for each in ranges), rest])
            else:
                with self._prefix.take() as file:
                    for each in ranges:
                        encoded.append_to(file, each.start, len(each))
                    append(file, rest)
            size = self._footer.start + sum(map(len, ranges)) + len(rest)
        except (FooterError, ThriftError, EOFError) as error:
            raise self._not_as_expected(describe_error(error)) from error
        if extension not in self._source.verified:
            self._verify(size, len(self._footer.leaves) + len(encoded.footer.leaves))
            self._source.verified.append(extension)
        elif self.path.stat().st_size != size:
            raise self._not_as_expected(f"bytes {self.path.stat().st_size:,}, {size:,} expected")
        self._predictions.discard()

    def prefix_digest(self) -> PrefixDigest:
        """Return the digest of the copied input bytes, or of the file if it was written from memory."""
        return self._digest or self._source.digest

    def discard(self) -> None:
        """Close and remove the file. Idempotent."""
        self._prefix.discard()
        self._predictions.discard()
        self.path.unlink(missing_ok=True)

    def _write_from_memory(self, appended: Sequence[bytes]) -> None:
        """Write the file in one system call."""
        with self._create() as file:
            append_all(file, [self._source.prefix, *appended])
        self._digest = functools.reduce(extended, appended, self._source.digest)

    def _create(self) -> FileIO:
        try:
            return FileIO(self.path, "w")
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return FileIO(self.path, "w")

    def _verify(self, size: int, leaves: int) -> None:
        """Check with pyarrow that the footer describes the input and the new columns."""
        try:
            expected = self._source.schema
            # An open file, because pyarrow resolves the file system of a path in Python.
            with pa.OSFile(str(self.path)) as opened, pq.ParquetFile(opened) as file:
                found, schema = file.metadata, file.schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._not_as_expected(describe_error(error)) from error
        differences = [
            f"{what} {actual}, {wanted:,} expected"
            for what, actual, wanted in (
                ("bytes", self.path.stat().st_size, size),
                ("rows", found.num_rows, self._footer.rows),
                ("row groups", found.num_row_groups, len(self._footer.groups)),
                ("columns", found.num_columns, leaves),
            )
            if actual != wanted
        ]
        for index, column in enumerate(self._columns, len(expected)):
            # A prediction column's type may be read back as another one.
            added = schema.field(index) if index < len(schema) else column
            expected = expected.append(added if added.name == column.name else column)
        if not schema.equals(expected):
            differences.append("the schema is not the input's plus the prediction columns")
        if differences:
            raise self._not_as_expected("; ".join(differences))

    def _wrong_rows(self, rows: int) -> SpliceError:
        return SpliceError(
            f"{rows:,} rows of predictions for the {self._footer.rows:,} rows in the footer of {self._source.path}: "
            "the file is damaged, or was not read to its end; write it again"
        )

    def _not_as_expected(self, why: str) -> SpliceError:
        return SpliceError(
            f"the output of {self._source.path} was spliced, but does not read as expected ({why}): it was "
            "removed; report this with the input file's footer, and write the input with another library meanwhile"
        )
