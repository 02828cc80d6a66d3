"""Parses lines of JSON with Arrow, for `JsonLinesObject`."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa

from contract.catalog.model_fields import Feature
from scoring.columns.feature_casts import cast_to_declared
from scoring.readers.text.cell_types import cast_cells, may_be_out_of_range, one_chunk
from scoring.readers.text.json_rows import is_plain
from scoring.readers.text.json_source_text import SourceTextFields
from scoring.readers.text.times_and_lists import is_time_or_list, parsed_type

_ARROW_ONLY_NUMBERS = re.compile(rb"-NaN|[:\[,\s-]Inf[\s,}\]]")
"""Matches numbers that Arrow accepts and Python's parser does not."""


def json_type(declared: str) -> pa.DataType:
    """Return the type in which Arrow's parser reads a feature."""
    return pa.list_(pa.float64()) if declared.startswith("list") else parsed_type(declared)


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


def _has_arrow_only_numbers(text: bytes) -> bool:
    # Single bytes are found much faster, and most texts of numbers have neither.
    may_be = (b"I" in text and b"Inf" in text) or (b"N" in text and b"-NaN" in text)
    return may_be and _ARROW_ONLY_NUMBERS.search(text) is not None


class ArrowJsonParser:
    """Arrow's JSON parser, with another one for fields whose exact text Arrow loses.

    Numbers that Arrow cannot convert, such as `1.0` for an integer or `"NaN"`, are read by the
    other parser too. Once that was needed, it is done for all further blocks.
    """

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
        self._parse = self._options(types, only_these if not raw else None)
        self._numbers = {
            name: kind
            for name, kind in declared.items()
            if name in types and is_plain(name) and kind not in ("string", "bool") and not is_time_or_list(kind)
        }
        """Fields whose numbers can be read as text, with their declared types."""
        self._with_numbers: tuple[SourceTextFields, Any] | None = None
        self._only_these = only_these
        self._raw_names = raw
        self._needs_text = False

    def _options(self, types: Mapping[str, pa.DataType], only_these: Sequence[str] | None) -> Any:
        return self._json.ParseOptions(
            explicit_schema=pa.schema(list(types.items())),
            newlines_in_values=False,
            unexpected_field_behavior="error" if only_these else "ignore",
        )

    def parse(self, data: bytes, *, use_threads: bool) -> dict[str, pa.Array] | None:
        """Return the columns by name; None if the lines must be read one by one."""
        text = data if data.endswith(b"\n") else data + b"\n"
        lines = _count_object_lines(text)
        if not lines or _has_arrow_only_numbers(text):
            return None
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if not self._needs_text and (table := self._read(text, self._parse, lines, use_threads=use_threads)):
            columns = self._columns(table, self._types)
            if columns is None:
                return None
            # Arrow reads numbers that are too large as infinities.
            if not any(may_be_out_of_range(column, may_have_hex=False) for column in columns.values()):
                fields = self._raw.read(text, lines) if self._raw else {}
                return None if fields is None else columns | fields
        if not self._numbers:
            return None
        found = self._numbers_as_text(text, lines, use_threads=use_threads)
        self._needs_text = self._needs_text or found is not None
        return found

    def _numbers_as_text(self, text: bytes, lines: int, *, use_threads: bool) -> dict[str, pa.Array] | None:
        if self._with_numbers is None:
            floats = {name: declared in ("float", "double") for name, declared in self._numbers.items()}
            others = {name: kind for name, kind in self._types.items() if name not in floats}
            fields = SourceTextFields([*self._raw_names, *floats], self._only_these, floats)
            self._with_numbers = fields, self._options(others, None)
        source, options = self._with_numbers
        if (table := self._read(text, options, lines, use_threads=use_threads)) is None:
            return None
        if (texts := source.read(text, lines)) is None:
            return None
        for name, declared in self._numbers.items():
            texts[name], wrong = cast_cells(texts[name], declared)
            if wrong:
                return None
        columns = self._columns(table, [name for name in self._types if name not in self._numbers])
        return None if columns is None else texts | columns

    def _read(self, text: bytes, options: Any, lines: int, *, use_threads: bool) -> pa.Table | None:
        read = self._json.ReadOptions(use_threads=use_threads, block_size=len(text) + 1)
        try:
            table = self._json.read_json(pa.BufferReader(text), read_options=read, parse_options=options)
        except pa.ArrowInvalid:
            return None
        return table if table.num_rows == lines else None

    def _columns(self, table: pa.Table, names: Iterable[str]) -> dict[str, pa.Array] | None:
        """Return columns of a table in their types; None if a value does not fit."""
        columns = {name: self._finished(one_chunk(table.column(name)), name) for name in names}
        return None if any(column is None for column in columns.values()) else columns

    def _finished(self, column: pa.Array, name: str) -> pa.Array | None:
        """Return a field in its type; None if a value does not fit."""
        if name in self._declared:
            if pa.types.is_string(column.type):
                array, bad = cast_cells(column, self._declared[name])
                return None if bad else array
            cast = cast_to_declared(Feature(name, self._declared[name]), column, 0)
            return None if cast.bad else cast.array
        return column.cast(pa.string()) if name in self._passed else column
