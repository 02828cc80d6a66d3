"""Reads objects of JSON Lines.

Declared fields are converted to their types. The others become text: strings as they are, anything
else as JSON. A missing field is null.

The columns are the fields of the object's beginning. If an output keeps all columns and a later line
has another field, `LateFieldsError` asks for the object to be opened again, with all fields.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from contract.dataset.formats import MAX_COLUMNS
from contract.dataset.text_head import without_mark
from scoring.errors import DataError, LateFieldsError
from scoring.readers.input_object import Reading
from scoring.readers.text.arrow_json import ArrowJsonParser, json_type
from scoring.readers.text.cell_types import cast_cells, text_array
from scoring.readers.text.json_rows import (
    NOT_FINITE,
    JsonRow,
    NotARowError,
    Number,
    as_text,
    is_plain,
    is_text,
    read_row,
    without_surrogates,
)
from scoring.readers.text.json_source_text import FieldNames
from scoring.readers.text.text_object import (
    BLOCK_BYTES,
    CHUNK_BYTES,
    MAX_RECORD_BYTES,
    ParsedRows,
    RowProblems,
    TextObject,
    UnreadableRow,
    shown_raw,
    shown_text,
    shown_value,
    unreadable_bytes,
)
from scoring.readers.text.text_stream import TextStream
from scoring.readers.text.times_and_lists import is_time_or_list

_ABSENT = "is not in the beginning of objects; rows without it are null"
_LOSSLESS_TYPES = {"int": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
"""Kinds of values whose text can be restored from the values that Arrow parses."""


class JsonLinesObject(TextObject):
    """An object of JSON Lines, read by Arrow's parser in blocks of whole lines.

    A block that Arrow cannot parse is split into chunks, so that only chunks with a bad row are
    read line by line.
    """

    def _prepare(self, head: bytes, *, whole: bool) -> None:
        wanted = self._wanted
        self._skipped = len(head) - len(without_mark(head))
        kinds: dict[str, set[str]] = {}
        for line in head[self._skipped :].split(b"\n"):
            if not line.strip():
                continue
            try:
                row = read_row(line)
            except NotARowError:
                continue
            for name, value in row.items():
                if name not in wanted.types and value is not None:
                    kinds.setdefault(name, set()).add(_kind(value))
        if wanted.finds_all_fields and not whole:
            late = [name for name in self._all_fields() if name not in self._names]
            # Their values may be of any kind.
            kinds |= {name: {"any"} for name in late}
            self._names = (*self._names, *late)
        self._kinds = kinds
        known = {*self._names, *wanted.partition_columns}
        self._absent = tuple(name for name in wanted.types if name not in known)
        self.absent = frozenset(self._absent)
        self._passed = frozenset(name for name in self._absent if any(name not in kept for kept in wanted.keepers))
        """Absent columns that an output keeps only if a line has them."""
        self._names = (*self._names, *self._absent)

    def _all_fields(self) -> Iterable[str]:
        fields = FieldNames()
        with self._open() as stream:
            stream.read(self._skipped)
            for data in self._whole_lines(stream):
                fields.add(data)
                if len(fields.names) > MAX_COLUMNS:
                    raise DataError(
                        f"object {self.key!r} has more than {MAX_COLUMNS:,} different fields, at most as many can be "
                        "read: write it again with fewer"
                    )
        return fields.names

    def _whole_lines(self, stream: TextStream) -> Iterator[bytes]:
        data, ended = b"", False
        while not ended:
            more = stream.read(max(BLOCK_BYTES, len(data)))
            ended = not more
            data += more
            end = len(data) if ended else data.rfind(b"\n") + 1
            if len(data) > MAX_RECORD_BYTES and not 0 <= data.find(b"\n") <= MAX_RECORD_BYTES:
                raise self._too_long(stream.rows)
            if end:
                yield data[:end]
            data = data[end:]

    def _parse(self, stream: TextStream, columns: tuple[int, ...], *, use_threads: bool) -> Iterator[ParsedRows]:
        stream.read(self._skipped)
        names = frozenset(self._names[place] for place in columns)
        # Reading a few columns, for example to count nulls, ignores all other fields.
        self._keeps_all = bool(self._wanted.keepers) and names >= frozenset(self._names) - self.absent
        parser = self._parser(columns)
        for data in self._whole_lines(stream):
            for parsed in self._parse_block(data, parser, columns, use_threads=use_threads):
                yield self._with_absent(parsed, columns)

    def _with_absent(self, parsed: ParsedRows, columns: tuple[int, ...]) -> ParsedRows:
        """Count the nulls of absent columns."""
        counts = dict(parsed.counts)
        for index, place in enumerate(columns):
            name = self._names[place]
            if name in self.absent and parsed.batch.num_rows:
                nulls = parsed.batch.column(index).null_count
                if nulls < parsed.batch.num_rows and name in self._passed:
                    raise LateFieldsError(self.key)
                counts[Reading(name, _ABSENT)] = nulls
        return replace(parsed, counts=counts) if self.absent else parsed

    def _parser(self, columns: tuple[int, ...]) -> "ArrowJsonParser | None":
        """Return Arrow's parser; None if a column's exact text needs reading by line."""
        types: dict[str, pa.DataType] = {}
        raw: list[str] = []
        for place in columns:
            name = self._names[place]
            kinds = self._kinds.get(name, {"str"})
            if name in self._wanted.types:
                types[name] = json_type(self._wanted.types[name])
            elif len(kinds) == 1 and kinds <= _LOSSLESS_TYPES.keys():
                types[name] = _LOSSLESS_TYPES[min(kinds)]
            elif is_plain(name):
                raw.append(name)
            else:
                return None
        passed = types.keys() - self._wanted.types.keys()
        only_these = [self._names[place] for place in columns] if self._keeps_all else None
        return ArrowJsonParser(types, passed, raw, only_these, self._wanted.types)

    def _parse_block(
        self, data: bytes, parser: "ArrowJsonParser | None", columns: tuple[int, ...], *, use_threads: bool
    ) -> Iterator[ParsedRows]:
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
        self, data: bytes, parser: "ArrowJsonParser | None", columns: tuple[int, ...], *, use_threads: bool
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
        for index, line in enumerate(lines):
            try:
                rows.append(self._row(line, names))
            except NotARowError as error:
                rows.append(JsonRow())
                bad[index] = UnreadableRow(index, str(error), shown_raw(line), error.detail)
        counts: Counter[Reading] = Counter()
        problems = RowProblems(self._wanted, bad)
        arrays = {
            place: self._column(self._names[place], rows, lines, problems, counts)
            for place in self._features_first(columns)
        }
        in_order = [arrays[place] for place in columns]
        batch = pa.RecordBatch.from_arrays(in_order, schema=self._schema_of(columns))
        return problems.rows(len(lines), batch, counts)

    def _row(self, line: bytes, names: frozenset[str]) -> JsonRow:
        row = read_row(line)
        if duplicates := row.duplicates & names:
            raise NotARowError(f"has the field {shown_value(min(duplicates))} more than once")
        if row.unreadable:
            for name, value in row.items():
                if not is_text(name):
                    raise NotARowError(f"{row.unreadable}, in the name of a field")
                # Whatever fields are read. Fields of single models are checked with their column.
                is_needed = name in self._wanted.types and self._wanted.is_read_by_all(name)
                # Lists may have texts too.
                if is_needed and not is_text(as_text(value) or ""):
                    raise NotARowError(f"{row.unreadable}, in field {name!r}")
        if self._keeps_all and not row.keys() <= names:
            if self._wanted.finds_all_fields:
                raise NotARowError("has a field that was not found in the object before")
            raise LateFieldsError(self.key)
        return row

    def _column(
        self,
        name: str,
        rows: Sequence[JsonRow],
        lines: Sequence[bytes],
        problems: RowProblems,
        counts: Counter[Reading],
    ) -> pa.Array:
        values = [row.get(name) for row in rows]
        declared = self._wanted.types.get(name)
        if declared is None:
            texts = (None if index in problems.bad else self._text(name, row, counts) for index, row in enumerate(rows))
            return text_array(list(texts))
        for index, row in enumerate(rows):
            if row.unreadable and not is_text(as_text(values[index]) or ""):
                problems.add(index, name, f"{row.unreadable}, in field {name!r}", lines[index])
                values[index] = None
        cells = _cells(values, declared)
        array, wrong = cast_cells(text_array(cells), declared)
        wrong += [index for index, cell in enumerate(cells) if cell is None and values[index] is not None]
        for index in wrong:
            reason = f"has a value in field {name!r} that is not {declared}"
            problems.add(index, name, reason, lines[index], _shown(values[index]))
        return array

    def _text(self, name: str, row: JsonRow, counts: Counter[Reading]) -> str | None:
        text = as_text(row.get(name))
        if text is None or not row.unreadable or is_text(text):
            return text
        counts[unreadable_bytes(name)] += 1
        return without_surrogates(text)


def _shown(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, Number):
        return shown_value(value)
    return shown_text(as_text(value) or "null")


def _kind(value: Any) -> str:
    if isinstance(value, Number):
        return "int" if value.is_whole else "number"
    return type(value).__name__


def _cells(values: list[Any], declared: str) -> list[str | None]:
    """Return the texts of the values of the declared kind; None for null and for all others."""
    if declared == "string":
        return [value if type(value) is str else None for value in values]
    if is_time_or_list(declared):
        kind = list if declared.startswith("list") else str
        return [as_text(value) if type(value) is kind else None for value in values]
    if declared == "bool":
        return [str(value).lower() if type(value) is bool else None for value in values]
    is_float = declared in ("float", "double")
    return [
        value
        if (type(value) is Number and value.is_in_range) or (is_float and type(value) is str and value in NOT_FINITE)
        else None
        for value in values
    ]
