"""A Parquet sample on this machine. The only module of the command that needs pyarrow, and imports it when it runs."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.problems import InvalidInputError, Problem

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class SampleColumn:
    """A column as the sample has it; `type` as pyarrow prints it, of the values where they are dictionary-encoded."""

    name: str
    type: str
    nullable: bool
    """What the Parquet schema says: optional or required."""
    nulls: int


def read_columns(path: Path) -> list[SampleColumn]:
    """The columns of a Parquet file, with the nulls that are in them.

    Raises:
        InvalidInputError: when it cannot be read.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(path)
        nulls = dict.fromkeys(file.schema_arrow.names, 0)
        for batch in file.iter_batches():
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                nulls[name] += column.null_count
    except (pa.ArrowException, OSError, ValueError) as error:
        problem = Problem("sample", str(path), f"a Parquet file that can be read ({error})")
        raise InvalidInputError("sample", [problem]) from error
    return [
        SampleColumn(
            field.name,
            str(field.type.value_type if pa.types.is_dictionary(field.type) else field.type),
            field.nullable,
            nulls[field.name],
        )
        for field in file.schema_arrow
    ]


@dataclass(frozen=True)
class Preview:
    """What scoring made of the sample: its rows, the columns that it added with their types, and the first rows."""

    rows: int
    added: dict[str, str]
    columns: tuple[str, ...]
    first: tuple[tuple[Any, ...], ...]
    """Values as JSON has them."""


def preview(path: Path, sample: Path, rows: int) -> Preview:
    """Look at the predictions for a sample: all its rows are counted, the first ones are read."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    file, before = pq.ParquetFile(path), set(pq.read_schema(sample).names)
    schema = file.schema_arrow
    batch = next(file.iter_batches(batch_size=max(1, rows)), None)
    columns = [column.to_pylist()[:rows] for column in batch.columns] if batch is not None else []
    return Preview(
        rows=file.metadata.num_rows,
        added={field.name: str(field.type) for field in schema if field.name not in before},
        columns=tuple(schema.names),
        first=tuple(tuple(_as_json(value) for value in row) for row in zip(*columns, strict=True)),
    )


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
