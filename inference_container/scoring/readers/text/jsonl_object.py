"""An object of JSON Lines. Declared fields are parsed to their types; the others are text: strings as they are, all
else as JSON writes it. A field that a line does not have is null.
"""

import re
from collections.abc import Iterator, Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa

from contract.dataset.text_head import BYTE_ORDER_MARK
from scoring.readers.text.cell_types import one_chunk, texts, to_type
from scoring.readers.text.json_rows import NotARowError, Number, Row, as_text, is_plain, read_row
from scoring.readers.text.json_source_text import RawFields
from scoring.readers.text.text_object import (
    BLOCK_BYTES,
    MOST_RECORD_BYTES,
    PIECE_BYTES,
    Piece,
    TextObject,
    UnreadableRow,
    good_rows,
    shown_raw,
    shown_text,
    shown_value,
)
from scoring.readers.text.text_stream import TextStream

_ODD_NUMBERS = re.compile(rb"-NaN|[:\[,\s-]Inf[\s,}\]]")
"""What Arrow takes for a number and Python's parser does not."""
_EXACT = {"int": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
"""Kinds of values that Arrow reads so that their text can be told from them."""


class JsonLinesObject(TextObject):
    """Read in blocks of whole lines by Arrow's parser; a block that it cannot take is cut into smaller pieces, so that
    only what lies next to a bad row is read line by line.
    """

    def _prepare(self, head: bytes, *, whole: bool) -> None:
        self._skipped = len(head) - len(head.removeprefix(BYTE_ORDER_MARK))
        kinds: dict[str, set[str]] = {}
        for line in head[self._skipped :].split(b"\n"):
            try:
                row = read_row(line)
            except NotARowError:
                continue
            for name, value in row.items():
                if name not in self._wanted.types and value is not None:
                    kinds.setdefault(name, set()).add(_kind(value))
        self._kinds = kinds

    def _pieces(self, stream: TextStream, columns: tuple[int, ...], *, use_threads: bool) -> Iterator[Piece]:
        stream.read(self._skipped)
        parser = self._parser(columns)
        data, ended = b"", False
        while not ended:
            more = stream.read(max(BLOCK_BYTES, len(data)))
            ended = not more
            data += more
            end = len(data) if ended else data.rfind(b"\n") + 1
            if len(data) > MOST_RECORD_BYTES and not 0 <= data.find(b"\n") <= MOST_RECORD_BYTES:
                raise self._too_long(stream.rows)
            yield from self._parsed(data[:end], parser, columns, use_threads=use_threads)
            data = data[end:]

    def _parser(self, columns: tuple[int, ...]) -> "_ArrowParser | None":
        """None when the exact text of a column can be told only line by line."""
        types: dict[str, pa.DataType] = {}
        raw: list[str] = []
        for place in columns:
            name = self._names[place]
            kinds = self._kinds.get(name, {"str"})
            if name in self._wanted.types:
                types[name] = self.schema.field(place).type
            elif len(kinds) == 1 and kinds <= _EXACT.keys():
                types[name] = _EXACT[min(kinds)]
            elif is_plain(name):
                raw.append(name)
            else:
                return None
        passed = types.keys() - self._wanted.types.keys()
        only_these = self._names if len(columns) == len(self._names) else None
        return _ArrowParser(types, passed, raw, only_these)

    def _parsed(
        self, data: bytes, parser: "_ArrowParser | None", columns: tuple[int, ...], *, use_threads: bool
    ) -> Iterator[Piece]:
        if not data:
            return
        if (piece := self._by_arrow(data, parser, columns, use_threads=use_threads)) is not None:
            yield piece
            return
        start = 0
        while start < len(data):
            stop = data.find(b"\n", start + PIECE_BYTES) + 1 or len(data)
            part = data[start:stop]
            start = stop
            piece = self._by_arrow(part, parser, columns, use_threads=False)
            yield piece or self._by_line([line for line in part.split(b"\n") if line.strip()], columns)

    def _by_arrow(
        self, data: bytes, parser: "_ArrowParser | None", columns: tuple[int, ...], *, use_threads: bool
    ) -> Piece | None:
        if parser is None or (arrays := parser.parse(data, use_threads=use_threads)) is None:
            return None
        in_order = [arrays[self._names[place]] for place in columns]
        batch = pa.RecordBatch.from_arrays(in_order, schema=self._schema_of(columns))
        return Piece(batch.num_rows, batch)

    def _schema_of(self, columns: tuple[int, ...]) -> pa.Schema:
        return pa.schema([self.schema.field(place) for place in columns])

    def _by_line(self, lines: Sequence[bytes], columns: tuple[int, ...]) -> Piece:
        bad: dict[int, UnreadableRow] = {}
        rows: list[Row] = []
        names = frozenset(self._names[place] for place in columns)
        is_all = len(columns) == len(self._names)
        for index, line in enumerate(lines):
            try:
                rows.append(self._row(line, names, is_all=is_all))
            except NotARowError as error:
                rows.append(Row())
                bad[index] = UnreadableRow(index, str(error), shown_raw(line))
        arrays = []
        for place in columns:
            name = self._names[place]
            values = [row.get(name) for row in rows]
            arrays.append(self._column(name, values, lines, bad))
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema_of(columns))
        return Piece(len(lines), good_rows(batch, bad), tuple(bad[index] for index in sorted(bad)))

    def _row(self, line: bytes, names: frozenset[str], *, is_all: bool) -> Row:
        row = read_row(line)
        if twice := row.twice & names:
            raise NotARowError(f"has the field {shown_value(min(twice))} more than once")
        if is_all and not row.keys() <= names:
            unknown = next(name for name in row if name not in names)
            raise NotARowError(
                f"has the field {shown_value(unknown)}, which no line of the object's beginning has, so the output has "
                "no column for it"
            )
        return row

    def _column(self, name: str, values: list[Any], lines: Sequence[bytes], bad: dict[int, UnreadableRow]) -> pa.Array:
        declared = self._wanted.types.get(name)
        if declared is None:
            return texts([as_text(value) for value in values])
        cells = _cells(values, declared)
        array, wrong = to_type(texts(cells), declared)
        wrong += [index for index, cell in enumerate(cells) if cell is None and values[index] is not None]
        for index in wrong:
            reason = f"has {_shown(values[index])} in field {name!r}, expected {declared}"
            bad.setdefault(index, UnreadableRow(index, reason, shown_raw(lines[index])))
        return array


def _shown(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, Number):
        return shown_value(value)
    return shown_text(as_text(value) or "null")


def _kind(value: Any) -> str:
    if isinstance(value, Number):
        return "int" if value.is_whole else "number"
    return type(value).__name__


def _cells(values: list[Any], declared: str) -> list[str | None]:
    """The texts of those values that are of the declared kind; None for null and for all others."""
    if declared == "string":
        return [value if type(value) is str else None for value in values]
    if declared == "bool":
        return [str(value).lower() if type(value) is bool else None for value in values]
    return [value if type(value) is Number and value.is_in_range else None for value in values]


def _lines_of_one_object_each(text: bytes) -> int:
    """How many lines there are; 0 unless each begins and ends as an object does: then as many rows are one a line."""
    if not text.startswith(b"{") or b"\0" in text:
        return 0
    marks = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero(marks == ord("\n"))
    last = marks[ends - 1]
    last = np.where(last == ord("\r"), marks[ends - 2], last)
    is_regular = bool((last == ord("}")).all()) and bool((marks[ends[:-1] + 1] == ord("{")).all())
    return len(ends) if is_regular else 0


class _ArrowParser:
    """Arrow's parser of JSON for whole lines of one object, and another one for what it cannot tell the text of."""

    def __init__(
        self, types: dict[str, pa.DataType], passed: Set[str], raw: Sequence[str], only_these: Sequence[str] | None
    ) -> None:
        """`raw` are fields beside `types` whose text is wanted; `only_these` are given when no line may have others."""
        from pyarrow import json as arrow_json  # noqa: PLC0415

        self._json = arrow_json
        self._types = types
        self._passed = passed
        self._raw = RawFields(raw, only_these) if raw else None
        self._parse = arrow_json.ParseOptions(
            explicit_schema=pa.schema(list(types.items())),
            newlines_in_values=False,
            unexpected_field_behavior="error" if only_these and not raw else "ignore",
        )

    def parse(self, data: bytes, *, use_threads: bool) -> dict[str, pa.Array] | None:
        """The lines' columns by name; None when there is anything in them that must be looked at line by line."""
        text = data if data.endswith(b"\n") else data + b"\n"
        lines = _lines_of_one_object_each(text)
        if not lines or ((b"Inf" in text or b"-NaN" in text) and _ODD_NUMBERS.search(text)):
            return None
        read = self._json.ReadOptions(use_threads=use_threads, block_size=len(text) + 1)
        try:
            text.decode("utf-8")
            table = self._json.read_json(pa.BufferReader(text), read_options=read, parse_options=self._parse)
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None
        if table.num_rows != lines:
            return None
        columns = {name: self._finished(one_chunk(table.column(name)), name) for name in self._types}
        if self._raw is None:
            return columns
        fields = self._raw.read(text, lines)
        return None if fields is None else columns | fields

    def _finished(self, column: pa.Array, name: str) -> pa.Array:
        return column.cast(pa.string()) if name in self._passed else column
