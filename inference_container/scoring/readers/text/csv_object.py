"""An object of CSV. Declared columns are parsed to their types; the others keep the exact text of their cells."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import csv

from contract.dataset.text_head import BYTE_ORDER_MARK, read_header
from scoring.readers.text.cell_types import FALSE, TRUE, one_chunk, texts, to_type, without
from scoring.readers.text.csv_records import Block, Dialect, Record, blocks
from scoring.readers.text.text_object import (
    PIECE_BYTES,
    Piece,
    TextObject,
    UnreadableRow,
    good_rows,
    not_utf8,
    shown_raw,
    shown_value,
)
from scoring.readers.text.text_stream import TextStream


class CsvObject(TextObject):
    """Read in blocks of whole records by Arrow's parser; a block that it cannot take is cut into smaller and smaller
    pieces, so that only what lies next to a bad row is read record by record.
    """

    def _prepare(self, head: bytes, *, whole: bool) -> None:
        options = self._wanted.options
        delimiter = self._kind.delimiter or options.csv_delimiter
        self._dialect = Dialect(delimiter, options.csv_quote)
        self._nulls = texts(options.null_values)
        text = head.removeprefix(BYTE_ORDER_MARK)
        self._skipped = len(head) - len(text)
        if options.csv_header:
            self._skipped += read_header(text, delimiter, options, whole=whole)[1]

    def _pieces(self, stream: TextStream, columns: tuple[int, ...], *, use_threads: bool) -> Iterator[Piece]:
        stream.read(self._skipped)
        parser = _ArrowParser(self, columns)
        for block in blocks(stream.read, self._dialect):
            if block is None:
                raise self._too_long(stream.rows)
            yield from self._parsed(block, parser, columns, use_threads=use_threads)

    def _parsed(
        self, block: Block, parser: "_ArrowParser", columns: tuple[int, ...], *, use_threads: bool
    ) -> Iterator[Piece]:
        if block.records is not None:
            yield self._by_record(block.records, columns)
        elif (batch := parser.parse(block, use_threads=use_threads)) is not None:
            yield Piece(batch.num_rows, batch)
        else:
            for piece in block.pieces(PIECE_BYTES):
                if (batch := parser.parse(piece, use_threads=False)) is not None:
                    yield Piece(batch.num_rows, batch)
                else:
                    yield self._by_record(tuple(self._dialect.records(piece.data, is_whole=True)), columns)

    def _by_record(self, records: Sequence[Record], columns: tuple[int, ...]) -> Piece:
        """What Arrow's parser does, with the rows that it could not take as bad rows."""
        rows = [record for record in records if not record.is_blank]
        bad = {
            index: UnreadableRow(index, problem, shown_raw(record.raw))
            for index, record in enumerate(rows)
            if (problem := self._problem(record))
        }
        arrays = []
        for place in columns:
            cells = ["" if index in bad else record.cells[place].decode() for index, record in enumerate(rows)]
            arrays.append(self._column(place, texts(cells), rows, bad))
        schema = pa.schema([self.schema.field(place) for place in columns])
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return Piece(len(rows), good_rows(batch, bad), tuple(bad[index] for index in sorted(bad)))

    def _column(self, place: int, cells: pa.Array, rows: Sequence[Record], bad: dict[int, UnreadableRow]) -> pa.Array:
        name = self._names[place]
        declared = self._wanted.types.get(name)
        if declared is None:
            return cells
        array, wrong = to_type(without(cells, self._nulls), declared)
        for index in wrong:
            # Stand-ins for the cells of rows that are bad already may be wrong too.
            if index not in bad:
                reason = f"has {shown_value(cells[index].as_py())} in column {name!r}, expected {declared}"
                bad[index] = UnreadableRow(index, reason, shown_raw(rows[index].raw))
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
    """Arrow's parser of CSV for clean blocks of one object."""

    def __init__(self, source: CsvObject, columns: tuple[int, ...]) -> None:
        self._source = source
        self._columns = columns
        dialect, options = source._dialect, source._wanted.options  # noqa: SLF001 - one reader in two classes
        # By their places: names may be empty or come twice.
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
            # A block is looked at as a whole, whatever columns are asked for.
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
        """The block's rows; None when there is anything in it that must be looked at record by record."""
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
        # Two counts that know nothing of each other: no row is lost or found by the parser.
        if table.num_rows != rows:
            return None
        columns = zip(table.columns, self._schema, strict=True)
        arrays = [self._finished(one_chunk(column), field) for column, field in columns]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _finished(self, column: pa.Array, field: pa.Field) -> pa.Array:
        is_feature = self._source._wanted.types.get(field.name) == "string"  # noqa: SLF001
        return without(column, self._source._nulls) if is_feature else column  # noqa: SLF001
