"""Reads CSV objects.

Declared columns are converted to their types; the others keep their cells' exact text.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import csv

from contract.dataset.text_head import BYTE_ORDER_MARK, read_header
from scoring.readers.text.cell_types import FALSE, TRUE, cast_cells, one_chunk, replace_with_null, text_array
from scoring.readers.text.csv_records import Block, Dialect, Record, blocks
from scoring.readers.text.text_object import (
    CHUNK_BYTES,
    ParsedRows,
    TextObject,
    UnreadableRow,
    good_rows,
    not_utf8,
    shown_raw,
    shown_value,
)
from scoring.readers.text.text_stream import TextStream


class CsvObject(TextObject):
    """A CSV object, read by Arrow's parser in blocks of whole records.

    A block that Arrow cannot parse is split into chunks, so that only chunks with a bad row are
    read record by record.
    """

    def _prepare(self, head: bytes, *, whole: bool) -> None:
        options = self._wanted.options
        delimiter = self.kind.delimiter or options.csv_delimiter
        self._dialect = Dialect(delimiter, options.csv_quote)
        self._nulls = text_array(options.null_values)
        text = head.removeprefix(BYTE_ORDER_MARK)
        self._skipped = len(head) - len(text)
        if options.csv_header:
            self._skipped += read_header(text, delimiter, options, whole=whole)[1]

    def _parse(self, stream: TextStream, columns: tuple[int, ...], *, use_threads: bool) -> Iterator[ParsedRows]:
        stream.read(self._skipped)
        parser = _ArrowParser(self, columns)
        for block in blocks(stream.read, self._dialect):
            if block is None:
                raise self._too_long(stream.rows)
            yield from self._parse_block(block, parser, columns, use_threads=use_threads)

    def _parse_block(
        self, block: Block, parser: "_ArrowParser", columns: tuple[int, ...], *, use_threads: bool
    ) -> Iterator[ParsedRows]:
        if block.records is not None:
            yield self._by_record(block.records, columns)
        elif (batch := parser.parse(block, use_threads=use_threads)) is not None:
            yield ParsedRows(batch.num_rows, batch)
        else:
            for chunk in block.split(CHUNK_BYTES):
                if (batch := parser.parse(chunk, use_threads=False)) is not None:
                    yield ParsedRows(batch.num_rows, batch)
                else:
                    yield self._by_record(tuple(self._dialect.records(chunk.data, is_whole=True)), columns)

    def _by_record(self, records: Sequence[Record], columns: tuple[int, ...]) -> ParsedRows:
        """Parse records one by one, as Arrow's parser does, but reject bad rows."""
        rows = [record for record in records if not record.is_blank]
        bad = {
            index: UnreadableRow(index, problem, shown_raw(record.raw))
            for index, record in enumerate(rows)
            if (problem := self._problem(record))
        }
        arrays = []
        for place in columns:
            cells = ["" if index in bad else record.cells[place].decode() for index, record in enumerate(rows)]
            arrays.append(self._column(place, text_array(cells), rows, bad))
        schema = pa.schema([self.schema.field(place) for place in columns])
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return ParsedRows(len(rows), good_rows(batch, bad), tuple(bad[index] for index in sorted(bad)))

    def _column(self, place: int, cells: pa.Array, rows: Sequence[Record], bad: dict[int, UnreadableRow]) -> pa.Array:
        name = self._names[place]
        declared = self._wanted.types.get(name)
        if declared is None:
            return cells
        array, wrong = cast_cells(replace_with_null(cells, self._nulls), declared)
        for index in wrong:
            # Rows that are bad already have empty cells, which may not fit the type either.
            if index not in bad:
                reason = f"has a value in column {name!r} that is not {declared}"
                value = shown_value(cells[index].as_py())
                bad[index] = UnreadableRow(index, reason, shown_raw(rows[index].raw), value)
        return array

    def _problem(self, record: Record) -> str:
        if record.problem:
            return record.problem
        if b"\0" in record.raw:
            place = next(index for index, cell in enumerate(record.cells) if b"\0" in cell)
            name = repr(self._names[place]) if place < len(self._names) else f"{place + 1}"
            return f"holds a NUL byte in column {name}"
        if problem := not_utf8(record.raw):
            return problem
        if len(record.cells) != len(self._names):
            by = "the header has" if self._wanted.options.csv_header else "csv_columns has"
            return f"has {len(record.cells):,} cells, expected {len(self._names):,} as {by}"
        return ""


class _ArrowParser:
    """Arrow's CSV parser for clean blocks of an object."""

    def __init__(self, source: CsvObject, columns: tuple[int, ...]) -> None:
        self._source = source
        self._columns = columns
        dialect, options = source._dialect, source._wanted.options  # noqa: SLF001 - part of CsvObject
        # By index, because names may be empty or duplicate.
        self._labels = [str(place) for place in range(len(source._names))]  # noqa: SLF001
        self._schema = pa.schema([source.schema.field(place) for place in columns])
        self._quote = dialect.quote
        self._parse = csv.ParseOptions(
            delimiter=dialect.delimiter.decode(),
            quote_char=dialect.quote.decode() or False,
            double_quote=True,
            newlines_in_values=True,
        )
        self._convert = csv.ConvertOptions(
            # `parse` checks the whole block, including columns that are not converted.
            check_utf8=False,
            column_types={str(place): source.schema.field(place).type for place in columns},
            include_columns=[str(place) for place in columns],
            null_values=list(options.null_values),
            true_values=list(TRUE),
            false_values=list(FALSE),
            strings_can_be_null=False,
            quoted_strings_can_be_null=True,
        )

    def parse(self, block: Block, *, use_threads: bool) -> Any:
        """Return the block's rows; None if it must be read record by record."""
        data = block.data
        if b"\0" in data or data.count(b"\r") != data.count(b"\r\n"):
            return None
        rows = block.rows()
        if not rows:
            return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in self._schema], schema=self._schema)
        read = csv.ReadOptions(column_names=self._labels, use_threads=use_threads, block_size=len(data) + 1)
        try:
            data.decode("utf-8")
            table = csv.read_csv(
                pa.BufferReader(data), read_options=read, parse_options=self._parse, convert_options=self._convert
            )
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None
        # Compare two independent counts, so that the parser cannot lose or add rows unnoticed.
        if table.num_rows != rows:
            return None
        columns = zip(table.columns, self._schema, strict=True)
        arrays = [self._finished(one_chunk(column), field) for column, field in columns]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _finished(self, column: pa.Array, field: pa.Field) -> pa.Array:
        is_feature = self._source._wanted.types.get(field.name) == "string"  # noqa: SLF001
        return replace_with_null(column, self._source._nulls) if is_feature else column  # noqa: SLF001
