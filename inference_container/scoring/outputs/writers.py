"""How an object's predictions are written, chosen by rule; the ledger names it, and why where there was a choice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from contract.dataset.formats import format_of
from scoring.columns.column_plan import ColumnPlan
from scoring.outputs.atomic_files import BegunDigest, ParquetSink
from scoring.outputs.text_output import CsvSink, JsonlSink
from scoring.readers import InputObject
from scoring.splice import SplicedSink, SpliceSource


class Sink(Protocol):
    """An output object while it is written; it takes columns of rows in the input's order."""

    path: Path
    rows: int

    def write(self, columns: list[Any]) -> None: ...

    def close(self) -> None: ...

    def begun_digest(self) -> BegunDigest | None:
        """The digest of the closed file's beginning, where it need not be read for that."""

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


def open_writer(
    spec: ModelSpec,
    plan: ColumnPlan,
    source: InputObject,
    *,
    file: SpliceSource,
    scratch: Path,
    group_rows: int,
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
    reason = why_encode or _why_not_copied(spec, source) or file.refusal(plan.added)
    if not reason:
        return Writer(SplicedSink(path, file, plan.added), (), "parquet, input copied", copies_input=True)
    texts = [field.name for field in plan.added if pa.types.is_string(field.type)]
    sink = ParquetSink(path, plan.schema, [*source.text_columns(), *texts], group_rows)
    return Writer(sink, plan.kept, f"parquet, encoded: {reason}")


def _why_not_copied(spec: ModelSpec, source: InputObject) -> str:
    """Why the input's bytes cannot be kept, as far as the file need not be looked at; empty when they may be."""
    kind = format_of(source.key)
    if kind is None or kind.name != "parquet":
        return "the input is not Parquet"
    if spec.columns != "all":
        return "the record asks for the key columns alone"
    if set(spec.partition_columns) & set(spec.key_columns):
        return "a key column stands in the object's key and not in the file"
    return ""
