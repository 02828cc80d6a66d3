"""Columns of samples, and rows of predictions.

The only module of the command that imports pyarrow, on first use.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.catalog.model_spec import ModelSpec
from contract.dataset.detection import stored_format, text_format
from contract.dataset.formats import FIRST_BYTES, HEAD_BYTES, ObjectFormat, contradiction, format_of, with_compression
from contract.dataset.input_options import InputOptions
from contract.dataset.text_encoding import to_utf8
from contract.dataset.text_head import NoDataError, head_names
from contract.job.job_input import JobInput, input_of
from contract.problems import InvalidInputError, Problem

_SHOWN_CHARACTERS = 60
_NUMBER_WORD = re.compile(rb'("((?:[^"\\]|\\.)*)"\s*:\s*)"(?:NaN|-?Infinity)"')
"""Matches a field of JSON whose value is a number that JSON has no other way to write."""


@dataclass(frozen=True)
class SampleColumn:
    """A column of a sample.

    `type` is pyarrow's name of the type, for a dictionary of its values' type. Lists of one length
    are `list<item>[n]`.
    """

    name: str
    type: str
    nullable: bool
    """Whether the Parquet schema allows nulls; text always does."""
    nulls: int


def read_columns(path: Path, options: InputOptions) -> list[SampleColumn]:
    """Return the columns of a file in any format, with their numbers of nulls.

    Types of text files are inferred.

    Raises:
        InvalidInputError: when the file cannot be read.
    """
    import pyarrow as pa  # noqa: PLC0415

    try:
        kind = _kind(path, JobInput(options))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidInputError("sample", [Problem("sample", str(path), f"a file with data ({error})")]) from error
    try:
        columns = _parquet_columns(path) if kind.name == "parquet" else _text_columns(path, kind, options)
    except (pa.ArrowException, OSError, ValueError) as error:
        problem = Problem("sample", str(path), f"a {kind} file that can be read ({error})")
        raise InvalidInputError("sample", [problem]) from error
    return columns


def _kind(path: Path, wanted: JobInput) -> ObjectFormat:
    """Return the format by the same rule as a job.

    Raises:
        FormatUnknownError: when neither options, name nor content show it.
        NoDataError: when the file holds no data.
        ValueError: when the content is of another format.
    """
    with path.open("rb") as file:
        first = file.read(FIRST_BYTES)
    kind = format_of(path.name, wanted.options.format) or stored_format(first, wanted.options.csv_encoding)
    if kind is not None and first and (found := contradiction(first, kind, wanted.options.csv_encoding)):
        raise ValueError(f"it should be {kind} and looks like {found}")
    if kind is None:
        head = _head(path, with_compression(ObjectFormat("csv"), first), wanted.options)
        kind = text_format(head, wanted.options, wanted.needed, whole=len(head) < HEAD_BYTES)
    if kind is None:
        raise NoDataError
    return with_compression(kind, first)


def _head(path: Path, kind: ObjectFormat, options: InputOptions) -> bytes:
    """Return the beginning of text, in UTF-8."""
    import pyarrow as pa  # noqa: PLC0415

    with pa.input_stream(str(path), compression=kind.compression or None) as stream:
        head = bytes(stream.read(HEAD_BYTES))
    return to_utf8(head, options.csv_encoding, whole=len(head) < HEAD_BYTES) if kind.name == "csv" else head


def _parquet_columns(path: Path) -> list[SampleColumn]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    file = pq.ParquetFile(path)
    nulls = dict.fromkeys(file.schema_arrow.names, 0)
    lengths: dict[str, set[int]] = {}
    for batch in file.iter_batches():
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            nulls[name] += column.null_count
            if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
                lengths.setdefault(name, set()).update(pc.unique(pc.list_value_length(column.drop_null())).to_pylist())
    return [
        SampleColumn(
            field.name,
            _type_name(field.type, lengths.get(field.name, set())),
            field.nullable,
            nulls[field.name],
        )
        for field in file.schema_arrow
    ]


def _type_name(kind: Any, lengths: Collection[int]) -> str:
    """Return a type's name; for lists of one length, `list<item>[length]`."""
    import pyarrow as pa  # noqa: PLC0415

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_fixed_size_list(kind):
        return f"list<{kind.value_type}>[{kind.list_size}]"
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and len(lengths) == 1:
        return f"list<{kind.value_type}>[{next(iter(lengths))}]"
    return str(kind)


def _text_columns(path: Path, kind: ObjectFormat, options: InputOptions) -> list[SampleColumn]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    with pa.input_stream(str(path), compression=kind.compression or None) as stream:
        table = _read_json(stream) if kind.name == "jsonl" else _read_csv(stream, kind, options)
    text_nulls = pa.array(options.text_null_values if kind.name == "csv" else (), pa.string())
    found: list[SampleColumn] = []
    for field, column in zip(table.schema, table.columns, strict=True):
        nulls: int = column.null_count
        if pa.types.is_string(field.type):
            nulls += pc.sum(pc.is_in(column, value_set=text_nulls)).as_py() or 0
        # Times stay text unless the record declares them.
        type_name = "string" if pa.types.is_temporal(field.type) else str(field.type)
        found.append(SampleColumn(field.name, type_name, True, nulls))
    return found


def _read_json(stream: Any) -> Any:
    """Return a table with inferred types.

    Fields with texts such as "NaN" among numbers are doubles, as in a job.
    """
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import json  # noqa: PLC0415

    text = stream.read()
    table = json.read_json(pa.py_buffer(_NUMBER_WORD.sub(rb"\1null", text)))
    for name in {match[2].decode("utf-8", "replace") for match in _NUMBER_WORD.finditer(text)}:
        place = table.schema.get_field_index(name)
        kind = table.schema.types[place] if place >= 0 else None
        if kind is not None and (pa.types.is_integer(kind) or pa.types.is_null(kind)):
            table = table.set_column(place, name, table.column(place).cast(pa.float64()))
    return table


def _read_csv(stream: Any, kind: ObjectFormat, options: InputOptions) -> Any:
    """Return a table with inferred types.

    A word such as `y` or `1` counts as a boolean only if the record names it: a model may have been
    trained on the text or the number.
    """
    from pyarrow import csv  # noqa: PLC0415

    if not options.csv_header and not options.csv_columns:
        raise ValueError("there is no header: add --csv-columns")
    usual = InputOptions()
    true = ("true", "True", "TRUE") if options.true_values == usual.true_values else options.true_values
    false = ("false", "False", "FALSE") if options.false_values == usual.false_values else options.false_values
    return csv.read_csv(
        stream,
        read_options=csv.ReadOptions(column_names=list(options.csv_columns), encoding=options.csv_encoding),
        parse_options=csv.ParseOptions(
            delimiter=kind.delimiter or options.csv_delimiter,
            quote_char=options.csv_quote or False,
            escape_char=options.csv_escape or False,
            newlines_in_values=True,
        ),
        # Words for null do not make a text null: NA is a country too.
        convert_options=csv.ConvertOptions(
            null_values=list(options.null_values),
            true_values=list(true),
            false_values=list(false),
            decimal_point=options.csv_decimal,
            strings_can_be_null=False,
        ),
    )


@dataclass(frozen=True)
class Preview:
    """Predictions for a sample: number of rows, added columns with types, first rows."""

    rows: int
    added: dict[str, str]
    columns: tuple[str, ...]
    first: tuple[tuple[Any, ...], ...]
    """Values that JSON can represent."""


def preview(path: Path, sample: Path, spec: ModelSpec, rows: int) -> Preview:
    """Read the predictions for a sample: count all rows, return the first ones."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    # Values that keep their bytes may be INT96, whose years Arrow's nanoseconds do not all hold.
    file = pq.ParquetFile(path, coerce_int96_timestamp_unit="us")
    before = {*_names(sample, input_of(spec)), *spec.partition_columns}
    schema = file.schema_arrow
    batch = next(file.iter_batches(batch_size=max(1, rows)), None)
    columns = [column.to_pylist()[:rows] for column in batch.columns] if batch is not None else []
    return Preview(
        rows=file.metadata.num_rows,
        added={field.name: str(field.type) for field in schema if field.name not in before},
        columns=tuple(schema.names),
        first=tuple(tuple(_as_json(value) for value in row) for row in zip(*columns, strict=True)),
    )


def _names(sample: Path, wanted: JobInput) -> Sequence[str]:
    import pyarrow.parquet as pq  # noqa: PLC0415

    kind = _kind(sample, wanted)
    if kind.name == "parquet":
        names: list[str] = pq.read_schema(sample).names
        return names
    head = _head(sample, kind, wanted.options)
    return head_names(head, kind, wanted.options, whole=len(head) < HEAD_BYTES)


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
