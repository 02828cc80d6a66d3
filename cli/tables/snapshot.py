"""A table's snapshot: the files that hold its rows, and the columns that each must have."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cli.failures import CommandError

TableFormat = Literal["delta", "iceberg", "glue"]
FileKind = Literal["parquet", "csv", "jsonl"]


@dataclass(frozen=True)
class TableChoice:
    """The chosen table, and the chosen one of its snapshots."""

    format: TableFormat
    dataset: str
    folder: str = ""
    """Folder of the table in the dataset; empty or ending in "/"."""
    version: int | None = None
    at: str = ""
    """ISO 8601 with a zone."""
    metadata: str = ""
    """Address of an Iceberg table's metadata file."""
    name: str = ""
    """`database.table` of the Glue Data Catalog."""
    partitions: tuple[tuple[str, str], ...] = ()
    """Column and value that each chosen partition of a Glue table has; empty for all partitions."""


@dataclass(frozen=True)
class TableFile:
    """One data file of a snapshot."""

    uri: str
    size: int
    partition: Mapping[str, Any] = field(default_factory=dict)
    """Values of its partition columns, by name."""


@dataclass(frozen=True)
class TableSnapshot:
    """The files of a snapshot. Every row in them counts."""

    name: str
    """Text that names the table and the snapshot, for messages."""
    files: tuple[TableFile, ...]
    columns: Mapping[str, int | None]
    """The table's columns, with their Iceberg field ids."""
    partition_columns: frozenset[str] = frozenset()
    """Columns that a file may lack if its key has their values."""
    file_kind: FileKind = "parquet"
    header_delimiter: str = ""
    """Character between the cells of CSV files, whose header must have the columns in their order."""
    ignores_case: bool = False
    """Whether the table's column names are those of the files in lower case."""
    is_whole: bool = True
    """Whether the files are all that the dataset has now. A choice of a version, time or folder adds to it."""


def import_extra(module: str, extra: TableFormat) -> Any:
    """Import a module of an optional dependency.

    Raises:
        CommandError: naming what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise CommandError(
            f"--table {extra}: the package {package!r} is missing. Install it with `pip install {package}`, in the "
            f"environment of Fleetscore (its extra {extra!r} has all that is needed)."
        ) from error
