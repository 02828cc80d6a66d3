"""Writers of CSV and JSON Lines, for readers without Parquet support."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from contract.catalog.model_spec import ModelSpec
from scoring.bad_rows import json_text
from scoring.errors import ConfigurationError, DataError
from scoring.outputs.value_texts import UnwritableValueError, is_bytes, is_time, json_values, plain_array, time_texts

_ROWS_PER_CHUNK = 4_096
_BYTES_PER_CHUNK = 1 << 28
"""Most bytes of columns to write at once, because a string array of Arrow holds 2 GiB."""
_FORMULA = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""First characters that make spreadsheets run a cell: = + - @ tab CR LF, and the full-width forms."""
_NUMBER = "^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$"
"""Texts that begin like a formula but are numbers."""


class TextWriter:
    """Writes one UTF-8 line per row."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._schema = schema
        self.rows = 0

    def write(self, columns: list[Any]) -> None:
        rows = len(columns[0]) if columns else 0
        self.rows += rows
        # In chunks, because a row takes several times its memory as text.
        for start in range(0, rows, _ROWS_PER_CHUNK):
            self._write_chunk([column.slice(start, _ROWS_PER_CHUNK) for column in columns])

    def _write_chunk(self, columns: list[Any]) -> None:
        rows = len(columns[0])
        if rows > 1 and sum(column.nbytes for column in columns) > _BYTES_PER_CHUNK:
            half = rows // 2
            self._write_chunk([column.slice(0, half) for column in columns])
            self._write_chunk([column.slice(half) for column in columns])
            return
        texts = []
        for name, column in zip(self._schema.names, columns, strict=True):
            try:
                texts.append(self._texts(column))
            except UnwritableValueError as error:
                raise DataError(
                    f"column {name!r} has {error}: correct the value, or set output_format to 'parquet', or columns to "
                    "'keys', in the model's record"
                ) from error
        self._write_rows(texts)

    @abstractmethod
    def _texts(self, column: Any) -> Any:
        """Return the texts of a column's values."""

    @abstractmethod
    def _write_rows(self, texts: list[Any]) -> None:
        """Write at least one row, given the texts of each column."""

    def _write_lines(self, parts: list[Any]) -> None:
        """Write lines joined from string arrays and from strings that all rows share."""
        lines = pc.binary_join_element_wise(*parts, "")
        for line_block in (lines,) if isinstance(lines, pa.Array) else lines.chunks:
            self._file.write(_bytes_of(line_block))

    def prefix_digest(self) -> None:
        """Return None: no digest of the file's start is known."""

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class CsvWriter(TextWriter):
    """Writes CSV with a header, as in RFC 4180, except that lines end with a line feed.

    A null is empty, an empty text is `""`, NaN and infinities are `nan`, `inf` and `-inf`. Bytes are
    hexadecimal. A list is a JSON array, as in JSON Lines.
    """

    def __init__(self, path: Path, spec: ModelSpec, schema: pa.Schema) -> None:
        super().__init__(path, schema)
        self._escapes_formulas = spec.csv_formulas == "escape"
        names = pa.array(schema.names, pa.string())
        names = _escaped(names).to_pylist() if self._escapes_formulas else schema.names
        header = ",".join(_quoted(name) if set(name) & set('",\r\n') else name for name in names)
        self._file.write(header.encode() + b"\n")

    def _texts(self, column: Any) -> Any:
        return _csv_texts(column, escapes_formulas=self._escapes_formulas)

    def _write_rows(self, texts: list[Any]) -> None:
        parts: list[Any] = []
        for cells in texts:
            parts += [cells, ","]
        parts[-1] = "\n"
        self._write_lines(parts)


class JsonlWriter(TextWriter):
    """Writes one JSON object per line, with keys in column order.

    NaN and infinities, which JSON lacks, are the texts "NaN", "Infinity" and "-Infinity". Bytes are
    Base64; dates, times and decimals are texts.
    """

    def _texts(self, column: Any) -> Any:
        return _json_texts(column)

    def _write_rows(self, texts: list[Any]) -> None:
        parts: list[Any] = []
        for index, (name, values) in enumerate(zip(self._schema.names, texts, strict=True)):
            parts += [("{" if index == 0 else ",") + json.dumps(name, ensure_ascii=False) + ":", values]
        parts.append("}\n")
        self._write_lines(parts)


def check_csv_columns(spec: ModelSpec, schema: pa.Schema) -> None:
    """Raise ConfigurationError if a cell of CSV cannot hold the values of a column."""
    unsupported = [f"{field.name!r} ({field.type})" for field in schema if not _is_flat(field.type)]
    if unsupported:
        raise ConfigurationError(
            f"model {spec.model_id!r}: output_format 'csv' cannot represent the columns {', '.join(unsupported)}: "
            "set output_format to 'parquet' or 'jsonl', or columns to 'keys', in the model's record"
        )


def _escaped(texts: Any) -> Any:
    """Return the texts with an apostrophe before those that a spreadsheet would run as formulas."""
    formulas = pc.match_substring_regex(texts, _FORMULA)
    if not pc.any(formulas).as_py():
        return texts
    formulas = pc.and_(formulas, pc.invert(pc.match_substring_regex(texts, _NUMBER)))
    return pc.if_else(formulas, pc.binary_join_element_wise("'", texts, ""), texts)


def _csv_texts(column: Any, *, escapes_formulas: bool) -> Any:
    column = plain_array(column)
    if pa.types.is_string(column.type):
        texts = _escaped(column) if escapes_formulas else column
        special = pc.match_substring_regex(texts, '[",\r\n]')
        special = pc.or_(special, pc.equal(texts, ""))
        if pc.any(special).as_py():
            texts = pc.if_else(special, _in_quotes(pc.replace_substring(texts, '"', '""')), texts)
    elif is_bytes(column.type):
        # Empty bytes are in quotes, as empty texts are; a null is not.
        values = (None if value is None else value.hex() or '""' for value in column.to_pylist())
        texts = pa.array(values, pa.string())
    elif is_time(column.type):
        texts = time_texts(column, " ")
    elif _is_list(column.type):
        arrays = _array_texts(column)
        quoted = _in_quotes(pc.replace_substring(arrays, '"', '""'))
        texts = pc.if_else(pc.match_substring_regex(arrays, '[",]'), quoted, arrays)
    else:
        texts = column.cast(pa.string())
    return pc.fill_null(texts, "")


def _json_texts(column: Any) -> Any:
    column = plain_array(column)
    kind = column.type
    if pa.types.is_floating(kind):
        texts = _json_floats(column)
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        texts = column.cast(pa.string())
    elif pa.types.is_duration(kind):
        texts = time_texts(column, "T")
    elif is_time(kind):
        texts = _in_quotes(time_texts(column, "T"))
    elif pa.types.is_decimal(kind):
        texts = _in_quotes(column.cast(pa.string()))
    elif _is_list(kind):
        texts = _array_texts(column)
    elif pa.types.is_string(kind) and not pc.any(pc.match_substring_regex(column, '[\\x00-\\x1f"\\\\]')).as_py():
        texts = _in_quotes(column)
    else:
        values = (None if value is None else json_text(value) for value in json_values(column))
        texts = pa.array(values, pa.string())
    return pc.fill_null(texts, "null")


def _json_floats(column: Any) -> Any:
    """Return floating-point numbers for JSON, which has no word for some of them."""
    texts = column.cast(pa.string())
    for text, word in (("nan", '"NaN"'), ("inf", '"Infinity"'), ("-inf", '"-Infinity"'), ("-0", "-0.0")):
        found = pc.equal(texts, text)
        texts = pc.if_else(found, word, texts) if pc.any(found).as_py() else texts
    return texts


def _array_texts(column: Any) -> Any:
    """Return lists of plain values as JSON arrays, with as many digits as their type has."""
    lists = column.cast(pa.large_list(column.type.value_type))
    offsets = lists.offsets.to_numpy()
    # `flatten` would leave out the values of null lists.
    values = _json_texts(lists.values.slice(offsets[0], offsets[-1] - offsets[0]))
    joined = pc.binary_join(pa.LargeListArray.from_arrays(pa.array(offsets - offsets[0]), values), ",")
    texts = pc.binary_join_element_wise("[", joined, "]", "").cast(pa.string())
    return pc.if_else(column.is_valid(), texts, pa.scalar(None, pa.string()))


def _in_quotes(texts: Any) -> Any:
    return pc.binary_join_element_wise('"', texts, '"', "")


def _is_flat(kind: pa.DataType) -> bool:
    """Return whether a cell can hold a value: a single one, or a list of single ones."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return (not pa.types.is_nested(kind) or _is_list(kind)) and not pa.types.is_interval(kind)


def _is_list(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and not pa.types.is_nested(kind.value_type) and not pa.types.is_interval(kind.value_type)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _bytes_of(lines: Any) -> Any:
    """Return the concatenated bytes of all lines, without a copy."""
    offsets, data = lines.buffers()[1:]
    wide = pa.types.is_large_string(lines.type)
    places = pa.Array.from_buffers(pa.int64() if wide else pa.int32(), lines.offset + len(lines) + 1, [None, offsets])
    start, stop = places[lines.offset].as_py(), places[lines.offset + len(lines)].as_py()
    return data.slice(start, stop - start)
