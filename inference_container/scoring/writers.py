"""Which way an object's predictions are written, chosen by rule; the ledger names it, and why where there was a choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from contract.spec import ModelSpec
from scoring.columns import ColumnPlan
from scoring.input_object import InputObject
from scoring.output import ParquetSink
from scoring.text_output import CsvSink, JsonlSink


class Sink(Protocol):
    """An output object while it is written; it takes columns of rows in the input's order."""

    path: Path
    rows: int

    def write(self, columns: list[Any]) -> None: ...

    def close(self) -> None: ...

    def discard(self) -> None:
        """Close and remove the file; safe to call at any time."""


@dataclass(frozen=True)
class Writer:
    """A sink and the input columns that it wants before the added ones."""

    sink: Sink
    kept: tuple[str, ...]
    name: str
    copies_input: bool = False
    """It keeps the input's bytes, so that every row of the input must be in the output."""


def open_writer(  # noqa: PLR0913 - what a choice rests on
    spec: ModelSpec,
    plan: ColumnPlan,
    source: InputObject,
    file: Path,
    scratch: Path,
    group_rows: int,
    *,
    why_encode: str = "",
) -> Writer:
    """Open the output of one object; `why_encode` forbids copying, `file` is the object's own.

    Raises ConfigurationError when the format that the record asks for has no form for a column.
    """
    path = scratch / f"{spec.model_id}.{spec.output_format}"
    if spec.output_format == "csv":
        return Writer(CsvSink(path, spec, plan.schema), plan.kept, "csv")
    if spec.output_format == "jsonl":
        return Writer(JsonlSink(path, plan.schema), plan.kept, "jsonl")
    reason = why_encode or _why_not_copied(spec, file, plan.added)
    texts = [field.name for field in plan.added if pa.types.is_string(field.type)]
    sink = ParquetSink(path, plan.schema, [*source.text_columns(), *texts], group_rows)
    return Writer(sink, plan.kept, f"parquet, encoded: {reason}")


def _why_not_copied(spec: ModelSpec, file: Path, added: Sequence[pa.Field]) -> str:
    del file, added
    if spec.columns != "all":
        return "the record asks for the key columns alone"
    return "this release encodes every column"
