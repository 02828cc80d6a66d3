"""Chooses how an object's predictions are written; the ledger records the choice and its reason."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from scoring.columns.column_plan import ColumnPlan
from scoring.files.digests import PrefixDigest
from scoring.outputs.parquet_output import EncodedParquetWriter
from scoring.outputs.text_output import CsvWriter, JsonlWriter, check_csv_columns
from scoring.readers import InputObject
from scoring.splice import SharedPartFiles, SplicedWriter, SpliceSource


class OutputWriter(Protocol):
    """Writes one output object; takes columns of rows in the input's order."""

    path: Path
    rows: int

    def write(self, columns: list[Any]) -> None: ...

    def close(self) -> None: ...

    def prefix_digest(self) -> PrefixDigest | None:
        """Return the digest of the closed file's first bytes; None if it is not already known."""

    def discard(self) -> None:
        """Close and delete the file. Idempotent."""


@dataclass(frozen=True)
class WriterChoice:
    """How an output is written, and the input columns that its writer takes before the added columns."""

    open: Callable[[Path, SharedPartFiles | None], OutputWriter]
    """Opens the writer of a new file. Outputs of a group may share the files of encoded predictions."""
    kept: tuple[str, ...]
    name: str
    """How the output is written, with the reason for re-encoding, for the ledger."""
    copies_input: bool = False
    """Whether the input's bytes are copied, so that the output must contain every input row."""


def choose_writer(
    spec: ModelSpec,
    plan: ColumnPlan,
    source: InputObject,
    *,
    file: SpliceSource,
    group_rows: Callable[[], int],
    reencode_reason: str = "",
) -> WriterChoice:
    """Choose the writer of one object; a `reencode_reason` rules out copying the input `file`.

    Raises ConfigurationError when the record's output format cannot represent a column.
    """
    if spec.output_format == "csv":
        check_csv_columns(spec, plan.schema)
        return WriterChoice(lambda path, _: CsvWriter(path, spec, plan.schema), plan.kept, "csv")
    if spec.output_format == "jsonl":
        return WriterChoice(lambda path, _: JsonlWriter(path, plan.schema), plan.kept, "jsonl")
    reason = reencode_reason or _copy_refusal(spec, plan, source) or file.refusal(plan.added)
    if not reason:
        name = "parquet, input copied"
        return WriterChoice(
            lambda path, shared: SplicedWriter(path, file, plan.added, shared), (), name, copies_input=True
        )
    texts = [field.name for field in plan.added if pa.types.is_string(field.type)]
    dictionaries = [*source.text_columns(), *texts]
    return WriterChoice(
        lambda path, _: EncodedParquetWriter(path, plan.schema, dictionaries, group_rows()),
        plan.kept,
        f"parquet, encoded: {reason}",
    )


def _copy_refusal(spec: ModelSpec, plan: ColumnPlan, source: InputObject) -> str:
    """Return why the input cannot be copied, or "" if its record and format allow it."""
    if source.kind.name != "parquet":
        return "the input is not Parquet"
    if spec.columns != "all":
        return "the record keeps only the key columns"
    if plan.has_key_outside_file:
        return "a key column comes from the object's key and is not in the file"
    return ""
