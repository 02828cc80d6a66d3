"""Reads CSV objects.

Declared columns are converted to their types; the others keep their cells' exact text.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import csv

from contract.dataset.csv_header import header_problem
from contract.dataset.text_encoding import is_utf8, readable
from contract.dataset.text_head import read_header, without_mark
from scoring.errors import DataError
from scoring.readers.input_object import Reading
from scoring.readers.text.cell_types import (
    CellRules,
    cast_cells,
    decimal_hint,
    may_be_out_of_range,
    one_chunk,
    replace_with_null,
    spellings,
    text_array,
)
from scoring.readers.text.csv_records import Block, Dialect, Record, blocks
from scoring.readers.text.text_object import (
    CHUNK_BYTES,
    ParsedRows,
    RowProblems,
    TextObject,
    UnreadableRow,
    shown_raw,
    shown_value,
    unreadable_bytes,
)
from scoring.readers.text.text_stream import TextStream
from scoring.readers.text.times_and_lists import parsed_type

_LETTERS = Reading(
    "",
    "escapes before letters, such as \\n, are read as two characters and not as a control character",
)


class CsvObject(TextObject):
    """A CSV object, read by Arrow's parser in blocks of whole records.

    A block that Arrow cannot parse is split into chunks, so that only chunks with a bad row are
    read record by record.
    """

    def _prepare(self, head: bytes, *, whole: bool) -> None:
        options = self._wanted.options
        delimiter = self.kind.delimiter or options.csv_delimiter
        self._dialect = Dialect(
            delimiter, options.csv_quote, options.csv_escape, escapes_unquoted=options.csv_escape_unquoted
        )
        true, false = (frozenset(map(str.lower, words)) for words in (options.true_values, options.false_values))
        self._rules = CellRules(true, false, options.csv_decimal)
        self._nulls, self._text_nulls = text_array(options.null_values), text_array(options.text_null_values)
        features = self._wanted.types.keys() - set(self._wanted.partition_columns)
        if problem := header_problem(head, delimiter, options, features, whole=whole):
            raise DataError(f"object {self.key!r}: {problem}")
        text = without_mark(head)
        self._skipped = len(head) - len(text)
        header = delimiter.join(self._names).encode()
        if options.csv_header:
            size = read_header(text, delimiter, options, whole=whole)[1]
            header = text[:size].strip(b"\r\n")
            self._skipped += size
        # Objects that are joined from several files may repeat it. With one column, it may be a value.
        self._header = header if len(self._names) > 1 else b""

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
        elif (parsed := parser.parse(block, use_threads=use_threads)) is not None:
            yield parsed
        else:
            for chunk in block.split(CHUNK_BYTES):
                if (parsed := parser.parse(chunk, use_threads=False)) is not None:
                    yield parsed
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
        counts: Counter[Reading] = Counter()
        problems = RowProblems(self._wanted, bad)
        arrays = {}
        for place in self._features_first(columns):
            cells = self._cells(place, rows, problems, counts)
            arrays[place] = self._column(place, text_array(cells), rows, problems)
        if self._dialect.escape:
            counts[_LETTERS] += sum(self._dialect.letters(record.raw) for record in rows)
        schema = pa.schema([self.schema.field(place) for place in columns])
        batch = pa.RecordBatch.from_arrays([arrays[place] for place in columns], schema=schema)
        return problems.rows(len(rows), batch, +counts)

    def _cells(
        self, place: int, rows: Sequence[Record], problems: RowProblems, counts: Counter[Reading]
    ) -> list[str | None]:
        """Return a column's cells, empty in bad rows, and null where a feature is unreadable."""
        name = self._names[place]
        is_feature = name in self._wanted.types
        cells: list[str | None] = []
        for index, record in enumerate(rows):
            if index in problems.bad:
                cells.append("")
            elif is_feature and (problem := self._unreadable(name, record.cells[place])):
                problems.add(index, name, problem, record.raw)
                cells.append(None)
            else:
                cells.append(self._text(record, place, counts))
        return cells

    def _text(self, record: Record, place: int, counts: Counter[Reading]) -> str:
        cell = record.cells[place]
        if b"\0" not in record.raw:
            try:
                return cell.decode()
            except UnicodeDecodeError:
                pass
        text = readable(cell)
        if text.encode() != cell:
            counts[unreadable_bytes(self._names[place])] += 1
        return text

    def _column(self, place: int, cells: pa.Array, rows: Sequence[Record], problems: RowProblems) -> pa.Array:
        name = self._names[place]
        declared = self._wanted.types.get(name)
        if declared is None:
            return cells
        array, wrong = self.convert(cells, declared)
        for index in wrong:
            # Rows that are bad already have empty cells, which may not fit the type either.
            if index not in problems.bad:
                reason = f"has a value in column {name!r} that is not {declared}"
                reason += decimal_hint(cells[index].as_py(), declared, self._rules)
                problems.add(index, name, reason, rows[index].raw, shown_value(cells[index].as_py()))
        return array

    def convert(self, cells: pa.Array, declared: str) -> tuple[pa.Array, list[int]]:
        """Convert the cells of a feature. Returns them and the indexes of the invalid ones."""
        nulls = self._text_nulls if declared == "string" else self._nulls
        return cast_cells(replace_with_null(cells, nulls), declared, self._rules)

    def _problem(self, record: Record) -> str:
        if record.problem:
            return record.problem
        if len(record.cells) != len(self._names):
            by = "the header has" if self._wanted.options.csv_header else "csv_columns has (input of the record)"
            return f"has {len(record.cells):,} cells, expected {len(self._names):,} as {by}"
        if self.repeats_header(record.raw):
            return "repeats the names of the columns: the object seems to be joined from several files"
        if b"\0" in record.raw or not _is_utf8(record.raw):
            # Whatever columns are read. Cells of single models are checked with their column.
            for name, cell in zip(self._names, record.cells, strict=True):
                is_needed = name in self._wanted.types and self._wanted.is_read_by_all(name)
                if is_needed and (problem := self._unreadable(name, cell)):
                    return problem
        return ""

    def _unreadable(self, name: str, cell: bytes) -> str:
        """Return why a feature's cell is not text. In other columns, such bytes are kept as escapes."""
        if b"\0" in cell:
            return f"holds a NUL byte in column {name!r}"
        return "" if _is_utf8(cell) else f"is not {self._encoding()} in column {name!r}"

    def repeats_header(self, raw: bytes) -> bool:
        """Return whether a row is the object's header once more."""
        return bool(self._header) and without_mark(raw.strip(b"\r\n")) == self._header

    def _encoding(self) -> str:
        encoding = self._wanted.options.csv_encoding
        return "UTF-8" if is_utf8(encoding) else f"{encoding} (csv_encoding)"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


class _ArrowParser:
    """Arrow's CSV parser for clean blocks of an object.

    Cells that Arrow cannot convert, such as `1.0` for an integer, are parsed as text and converted
    by `cast_cells`. Once that was needed, it is done for all further blocks.
    """

    def __init__(self, source: CsvObject, columns: tuple[int, ...]) -> None:
        self._source = source
        dialect, options = source._dialect, source._wanted.options  # noqa: SLF001 - part of CsvObject
        self._dialect = dialect
        self._schema = pa.schema([source.schema.field(place) for place in columns])
        self._declared = [source._wanted.types.get(field.name, "") for field in self._schema]  # noqa: SLF001
        self._header = source._header  # noqa: SLF001
        # By index, because names may be empty or duplicate.
        self._labels = [str(place) for place in range(len(source._names))]  # noqa: SLF001
        self._included = [str(place) for place in columns]
        self._parse = csv.ParseOptions(
            delimiter=dialect.delimiter.decode(),
            quote_char=dialect.quote.decode() or False,
            escape_char=dialect.escape.decode() or False,
            double_quote=True,
            newlines_in_values=True,
        )
        self._converts = [kind not in ("", "string") for kind in self._declared]
        self._as_text = self._options([pa.string()] * len(columns))
        self._by_arrow = self._as_text
        if any(self._converts):
            self._by_arrow = self._options(
                [parsed_type(kind or "string") for kind in self._declared],
                null_values=list(options.null_values),
                true_values=spellings(options.true_values),
                false_values=spellings(options.false_values),
                decimal_point=options.csv_decimal,
            )
        self._needs_text = False

    def _options(self, types: Sequence[pa.DataType], **more: Any) -> csv.ConvertOptions:
        return csv.ConvertOptions(
            # `parse` checks the whole block, including columns that are not converted.
            check_utf8=False,
            column_types=dict(zip(self._included, types, strict=True)),
            include_columns=self._included,
            strings_can_be_null=False,
            quoted_strings_can_be_null=True,
            **more,
        )

    def parse(self, block: Block, *, use_threads: bool) -> ParsedRows | None:
        """Return the block's rows; None if it must be read record by record."""
        data = block.data
        if b"\0" in data or data.count(b"\r") != data.count(b"\r\n") or block.may_have_line(self._header):
            return None
        rows = block.rows()
        if not rows:
            empty = [pa.nulls(0, field.type) for field in self._schema]
            return ParsedRows(0, pa.RecordBatch.from_arrays(empty, schema=self._schema))
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return None
        data, letters = self._dialect.for_arrow(data)
        columns = None if self._needs_text else self._read(data, self._by_arrow, rows, use_threads=use_threads)
        may_have_hex = b"0x" in data or b"0X" in data
        arrays = None if columns is None else self._converted(columns, by_arrow=True, may_have_hex=may_have_hex)
        if arrays is None and any(self._converts):
            columns = self._read(data, self._as_text, rows, use_threads=use_threads)
            arrays = None if columns is None else self._converted(columns)
            self._needs_text = self._needs_text or arrays is not None
        if arrays is None:
            return None
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        return ParsedRows(rows, batch, counts={_LETTERS: letters} if letters else {})

    def _read(self, data: bytes, convert: csv.ConvertOptions, rows: int, *, use_threads: bool) -> list[pa.Array] | None:
        read = csv.ReadOptions(column_names=self._labels, use_threads=use_threads, block_size=len(data) + 1)
        try:
            table = csv.read_csv(
                pa.BufferReader(data), read_options=read, parse_options=self._parse, convert_options=convert
            )
        except pa.ArrowInvalid:
            return None
        # Compare two independent counts, so that the parser cannot lose or add rows unnoticed.
        return [one_chunk(column) for column in table.columns] if table.num_rows == rows else None

    def _converted(
        self, columns: Sequence[pa.Array], *, by_arrow: bool = False, may_have_hex: bool = False
    ) -> list[pa.Array] | None:
        """Convert the features' cells that are still text; None if one is or may be invalid."""
        arrays = []
        for column, declared in zip(columns, self._declared, strict=True):
            is_text = declared and (not by_arrow or parsed_type(declared) == pa.string())
            array, wrong = self._source.convert(column, declared) if is_text else (column, [])
            if wrong or (by_arrow and may_be_out_of_range(array, may_have_hex=may_have_hex)):
                return None
            arrays.append(array)
        return arrays
