"""Reads objects of JSON Lines.

Declared fields are converted to their types. The others become text: strings as they are, anything
else as JSON. A missing field is null.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa

from contract.catalog.model_fields import Feature
from contract.dataset.text_head import BYTE_ORDER_MARK
from scoring.columns.feature_casts import cast_to_declared
from scoring.readers.text.cell_types import cast_cells, one_chunk, text_array
from scoring.readers.text.json_rows import JsonRow, NotARowError, Number, as_text, is_plain, read_row
from scoring.readers.text.json_source_text import SourceTextFields
from scoring.readers.text.text_object import (
    BLOCK_BYTES,
    CHUNK_BYTES,
    MAX_RECORD_BYTES,
    ParsedRows,
    TextObject,
    UnreadableRow,
    good_rows,
    shown_raw,
    shown_text,
    shown_value,
)
from scoring.readers.text.text_stream import TextStream
from scoring.readers.text.times_and_lists import is_time_or_list, parsed_type

_ARROW_ONLY_NUMBERS = re.compile(rb"-NaN|[:\[,\s-]Inf[\s,}\]]")
"""Matches numbers that Arrow accepts and Python's parser does not."""
_LOSSLESS_TYPES = {"int": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
"""Kinds of values whose text can be restored from the values that Arrow parses."""


class JsonLinesObject(TextObject):
    """An object of JSON Lines, read by Arrow's parser in blocks of whole lines.

    A block that Arrow cannot parse is split into chunks, so that only chunks with a bad row are
    read line by line.
    """

    def _prepare(self, head: bytes, *, whole: bool) -> None:
        self._skipped = len(head) - len(head.removeprefix(BYTE_ORDER_MARK))
        kinds: dict[str, set[str]] = {}
        for line in head[self._skipped :].split(b"\n"):
            if not line.strip():
                continue
            try:
                row = read_row(line)
            except NotARowError:
                continue
            for name, value in row.items():
                if name not in self._wanted.types and value is not None:
                    kinds.setdefault(name, set()).add(_kind(value))
        self._kinds = kinds

    def _parse(self, stream: TextStream, columns: tuple[int, ...], *, use_threads: bool) -> Iterator[ParsedRows]:
        stream.read(self._skipped)
        parser = self._parser(columns)
        data, ended = b"", False
        while not ended:
            more = stream.read(max(BLOCK_BYTES, len(data)))
            ended = not more
            data += more
            end = len(data) if ended else data.rfind(b"\n") + 1
            if len(data) > MAX_RECORD_BYTES and not 0 <= data.find(b"\n") <= MAX_RECORD_BYTES:
                raise self._too_long(stream.rows)
            yield from self._parse_block(data[:end], parser, columns, use_threads=use_threads)
            data = data[end:]

    def _parser(self, columns: tuple[int, ...]) -> "_ArrowParser | None":
        """Return Arrow's parser; None if a column's exact text needs reading by line."""
        types: dict[str, pa.DataType] = {}
        raw: list[str] = []
        for place in columns:
            name = self._names[place]
            kinds = self._kinds.get(name, {"str"})
            if name in self._wanted.types:
                types[name] = _parsed_type(self._wanted.types[name])
            elif len(kinds) == 1 and kinds <= _LOSSLESS_TYPES.keys():
                types[name] = _LOSSLESS_TYPES[min(kinds)]
            elif is_plain(name):
                raw.append(name)
            else:
                return None
        passed = types.keys() - self._wanted.types.keys()
        only_these = self._names if len(columns) == len(self._names) else None
        return _ArrowParser(types, passed, raw, only_these, self._wanted.types)

    def _parse_block(
        self, data: bytes, parser: "_ArrowParser | None", columns: tuple[int, ...], *, use_threads: bool
    ) -> Iterator[ParsedRows]:
        if not data:
            return
        if (parsed := self._by_arrow(data, parser, columns, use_threads=use_threads)) is not None:
            yield parsed
            return
        start = 0
        while start < len(data):
            stop = data.find(b"\n", start + CHUNK_BYTES) + 1 or len(data)
            part = data[start:stop]
            start = stop
            parsed = self._by_arrow(part, parser, columns, use_threads=False)
            yield parsed or self._by_line([line for line in part.split(b"\n") if line.strip()], columns)

    def _by_arrow(
        self, data: bytes, parser: "_ArrowParser | None", columns: tuple[int, ...], *, use_threads: bool
    ) -> ParsedRows | None:
        if parser is None or (arrays := parser.parse(data, use_threads=use_threads)) is None:
            return None
        in_order = [arrays[self._names[place]] for place in columns]
        batch = pa.RecordBatch.from_arrays(in_order, schema=self._schema_of(columns))
        return ParsedRows(batch.num_rows, batch)

    def _schema_of(self, columns: tuple[int, ...]) -> pa.Schema:
        return pa.schema([self.schema.field(place) for place in columns])

    def _by_line(self, lines: Sequence[bytes], columns: tuple[int, ...]) -> ParsedRows:
        bad: dict[int, UnreadableRow] = {}
        rows: list[JsonRow] = []
        names = frozenset(self._names[place] for place in columns)
        is_all = len(columns) == len(self._names)
        for index, line in enumerate(lines):
            try:
                rows.append(self._row(line, names, is_all=is_all))
            except NotARowError as error:
                rows.append(JsonRow())
                bad[index] = UnreadableRow(index, str(error), shown_raw(line), error.detail)
        arrays = []
        for place in columns:
            name = self._names[place]
            values = [row.get(name) for row in rows]
            arrays.append(self._column(name, values, lines, bad))
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema_of(columns))
        return ParsedRows(len(lines), good_rows(batch, bad), tuple(bad[index] for index in sorted(bad)))

    def _row(self, line: bytes, names: frozenset[str], *, is_all: bool) -> JsonRow:
        row = read_row(line)
        if duplicates := row.duplicates & names:
            raise NotARowError(f"has the field {shown_value(min(duplicates))} more than once")
        if is_all and not row.keys() <= names:
            unknown = next(name for name in row if name not in names)
            raise NotARowError(
                "has a field that no line of the object's beginning has, so the output has no column for it",
                shown_value(unknown),
            )
        return row

    def _column(self, name: str, values: list[Any], lines: Sequence[bytes], bad: dict[int, UnreadableRow]) -> pa.Array:
        declared = self._wanted.types.get(name)
        if declared is None:
            return text_array([as_text(value) for value in values])
        cells = _cells(values, declared)
        array, wrong = cast_cells(text_array(cells), declared)
        wrong += [index for index, cell in enumerate(cells) if cell is None and values[index] is not None]
        for index in wrong:
            reason = f"has a value in field {name!r} that is not {declared}"
            bad.setdefault(index, UnreadableRow(index, reason, shown_raw(lines[index]), _shown(values[index])))
        return array


def _shown(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, Number):
        return shown_value(value)
    return shown_text(as_text(value) or "null")


def _kind(value: Any) -> str:
    if isinstance(value, Number):
        return "int" if value.is_whole else "number"
    return type(value).__name__


def _parsed_type(declared: str) -> pa.DataType:
    """Return the type in which Arrow's parser reads a feature."""
    return pa.list_(pa.float64()) if declared.startswith("list") else parsed_type(declared)


def _cells(values: list[Any], declared: str) -> list[str | None]:
    """Return the texts of the values of the declared kind; None for null and for all others."""
    if declared == "string":
        return [value if type(value) is str else None for value in values]
    if is_time_or_list(declared):
        kind = list if declared.startswith("list") else str
        return [as_text(value) if type(value) is kind else None for value in values]
    if declared == "bool":
        return [str(value).lower() if type(value) is bool else None for value in values]
    return [value if type(value) is Number and value.is_in_range else None for value in values]


def _count_object_lines(text: bytes) -> int:
    """Return the number of lines if each begins and ends like an object, else 0.

    Then, if Arrow finds as many rows, each line is one row.
    """
    if not text.startswith(b"{") or b"\0" in text:
        return 0
    marks = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero(marks == ord("\n"))
    last = marks[ends - 1]
    last = np.where(last == ord("\r"), marks[ends - 2], last)
    is_regular = bool((last == ord("}")).all()) and bool((marks[ends[:-1] + 1] == ord("{")).all())
    return len(ends) if is_regular else 0


class _ArrowParser:
    """Arrow's JSON parser, with another one for fields whose exact text Arrow loses."""

    def __init__(
        self,
        types: dict[str, pa.DataType],
        passed: Set[str],
        raw: Sequence[str],
        only_these: Sequence[str] | None,
        declared: Mapping[str, str],
    ) -> None:
        """Set up the parsers.

        Args:
            passed: Fields of `types` that are returned as text.
            raw: Further fields, which are returned as their exact text.
            only_these: All fields that a line may have; None means any.
            declared: Types of the features.
        """
        from pyarrow import json as arrow_json  # noqa: PLC0415

        self._json = arrow_json
        self._types = types
        self._passed = passed
        self._declared = {name: kind for name, kind in declared.items() if is_time_or_list(kind)}
        self._raw = SourceTextFields(raw, only_these) if raw else None
        self._parse = arrow_json.ParseOptions(
            explicit_schema=pa.schema(list(types.items())),
            newlines_in_values=False,
            unexpected_field_behavior="error" if only_these and not raw else "ignore",
        )

    def parse(self, data: bytes, *, use_threads: bool) -> dict[str, pa.Array] | None:
        """Return the columns by name; None if the lines must be read one by one."""
        text = data if data.endswith(b"\n") else data + b"\n"
        lines = _count_object_lines(text)
        if not lines or ((b"Inf" in text or b"-NaN" in text) and _ARROW_ONLY_NUMBERS.search(text)):
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
        if any(column is None for column in columns.values()):
            return None
        if self._raw is None:
            return columns
        fields = self._raw.read(text, lines)
        return None if fields is None else columns | fields

    def _finished(self, column: pa.Array, name: str) -> pa.Array | None:
        """Return a field in its type; None if a value does not fit."""
        if name in self._declared:
            if pa.types.is_string(column.type):
                array, bad = cast_cells(column, self._declared[name])
                return None if bad else array
            cast = cast_to_declared(Feature(name, self._declared[name]), column, 0)
            return None if cast.bad else cast.array
        return column.cast(pa.string()) if name in self._passed else column
