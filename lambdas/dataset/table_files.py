"""Find tables of Delta Lake, Apache Iceberg and Apache Hudi among a dataset's objects.

Not every file of such a table counts: a deleted or updated row stays in its old file until the
table is cleaned up. Only the table's own metadata says which rows are current.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from contract.problems import Problem
from lambdas.shown_text import list_first

TableFormat = Literal["delta", "iceberg", "hudi"]
_NAMES: dict[TableFormat, str] = {"delta": "a Delta Lake table", "iceberg": "an Iceberg table", "hudi": "a Hudi table"}

_DELTA_LOG, _HUDI_FOLDER, _ICEBERG_FOLDER = "_delta_log", ".hoodie", "metadata"
_FOLDERS: dict[str, TableFormat] = {_DELTA_LOG: "delta", _HUDI_FOLDER: "hudi"}
_ICEBERG_METADATA = re.compile(r".*\.metadata\.json(?:\.gz)?")
_PROBES = (f"{_DELTA_LOG}/", f"{_HUDI_FOLDER}/", f"{_ICEBERG_FOLDER}/0", f"{_ICEBERG_FOLDER}/v")
"""Beginnings of the keys that identify a table, relative to its folder. Names of Iceberg's metadata
begin with a number of five digits, or with "v" and a number."""
_MAX_PROBED_FOLDERS = 200
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DATA_FILES: dict[TableFormat, re.Pattern[str]] = {
    # <partition>-<task>-<UUID of the write>[-<file>].parquet
    "iceberg": re.compile(rf"\d{{5}}-\d+-{_UUID}(?:-\d+)*(?:-deletes)?\.parquet"),
    # <file group>_<partition>-<stage>-<task>_<time of the commit>.parquet
    # One file per partition is named alike everywhere.
    "hudi": re.compile(rf"{_UUID}-\d+_\d+-\d+-\d+_\d{{14,17}}\.parquet|\.hoodie_partition_metadata"),
}
_ICEBERG_SCHEMA = b"iceberg.schema"
"""Key in the footer's metadata of Parquet files that Iceberg's Java library writes."""
_TAIL_BYTES = 64 << 10


@dataclass(frozen=True)
class FoundTable:
    """A table inside a dataset, or around it."""

    format: TableFormat
    folder: str
    """Folder of the table relative to the dataset; empty or ending in "/"."""
    evidence: str
    """The key that identifies the table."""

    def holds(self, key: str) -> bool:
        return key.startswith(self.folder)

    def is_metadata(self, key: str) -> bool:
        """Return whether an object describes the table.

        Those of Delta Lake and Hudi are hidden anyway.
        """
        return self.format == "iceberg" and key.startswith(f"{self.folder}{_ICEBERG_FOLDER}/")


def find_tables(keys: Iterable[str]) -> list[FoundTable]:
    """Return the tables that these keys prove, without duplicates, sorted by folder.

    >>> find_tables(["t/day=1/part-0.parquet", "t/_delta_log/00000000000000000000.json"])
    [FoundTable(format='delta', folder='t/', evidence='t/_delta_log/00000000000000000000.json')]
    """
    by_metadata: dict[tuple[str, TableFormat], FoundTable] = {}
    by_name: dict[tuple[str, TableFormat], FoundTable] = {}
    for key in keys:
        if (found := _from_metadata(key)) is not None:
            by_metadata.setdefault((found.folder, found.format), found)
        elif (found := _from_name(key)) is not None:
            by_name.setdefault((found.folder, found.format), found)
    proven = list(by_metadata.values())
    # Files below a proven table are its own.
    more = [found for found in by_name.values() if not any(table.holds(found.folder) for table in proven)]
    return sorted([*proven, *_outermost(more)], key=lambda table: (table.folder, table.format))


def _from_metadata(key: str) -> FoundTable | None:
    *folders, name = key.split("/")
    for place, folder in enumerate(folders):
        if (kind := _FOLDERS.get(folder)) is not None:
            return FoundTable(kind, _folder(folders[:place]), key)
    if folders and folders[-1] == _ICEBERG_FOLDER and _ICEBERG_METADATA.fullmatch(name):
        return FoundTable("iceberg", _folder(folders[:-1]), key)
    return None


def _from_name(key: str) -> FoundTable | None:
    folder, slash, name = key.rpartition("/")
    kind = next((kind for kind, pattern in _DATA_FILES.items() if pattern.fullmatch(name)), None)
    return None if kind is None else FoundTable(kind, folder + slash, key)


def _outermost(found: Sequence[FoundTable]) -> list[FoundTable]:
    """Return one table per format, because partitions of a table have folders of their own."""
    first: dict[TableFormat, FoundTable] = {}
    for table in sorted(found, key=lambda table: table.evidence):
        first.setdefault(table.format, table)
    return [
        FoundTable(kind, _shared_folder([other.folder for other in found if other.format == kind]), table.evidence)
        for kind, table in first.items()
    ]


def _shared_folder(folders: Sequence[str]) -> str:
    low, high = min(folders).split("/"), max(folders).split("/")
    same = takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    return _folder([part for part, _ in same if part])


def _folder(parts: Sequence[str]) -> str:
    return "".join(f"{part}/" for part in parts)


def probe_tables(
    keys: Iterable[str], list_keys: Callable[[str], Iterable[str]], list_all: Callable[[], Iterable[str]]
) -> list[FoundTable]:
    """Return the tables that some of these objects may belong to.

    Args:
        list_keys: Returns the first keys that begin with a prefix.
        list_all: Returns every key. It is called when the objects are in too many folders.
    """
    keys = list(keys)
    folders = {""}
    for key in keys:
        parts = key.split("/")[:-1]
        # Partitions are below their table.
        end = next((place for place, part in enumerate(parts) if "=" in part), len(parts))
        folders.update(_folder(parts[:length]) for length in range(1, end + 1))
    beside: Iterable[str]
    if len(folders) > _MAX_PROBED_FOLDERS:
        beside = list_all()
    else:
        beside = [found for folder in sorted(folders) for probe in _PROBES for found in list_keys(folder + probe)]
    return [table for table in find_tables([*beside, *keys]) if any(table.holds(key) for key in keys)]


def is_iceberg_file(size: int, read: Callable[[int, int], bytes | None]) -> bool:
    """Return whether a Parquet footer shows that Iceberg wrote it; False if unreadable."""
    tail = read(max(0, size - _TAIL_BYTES), size) if size else None
    if tail is None or tail[-4:] != b"PAR1":
        return False
    footer_bytes = int.from_bytes(tail[-8:-4], "little")
    return _ICEBERG_SCHEMA in tail[-8 - footer_bytes : -8]


def check_tables(dataset: str, tables: Sequence[FoundTable], readers: Sequence[str]) -> list[Problem]:
    """Refuse the tables of a dataset, unless every reader takes the files as they are.

    `readers` names the models or recipes that do not.
    """
    if not readers:
        return []
    field = f"dataset {dataset!r}"
    expected = "files of which every row counts; files of a table also hold deleted and replaced rows"
    return [
        Problem(field, f"{_NAMES[table.format]} ({table.evidence})", expected, _remedy(dataset, table, readers))
        for table in tables
    ]


def _remedy(dataset: str, table: FoundTable, readers: Sequence[str]) -> str:
    if table.format == "hudi":
        way = "Export its current rows to Parquet files, such as with a read-optimized query, and score those"
    else:
        folder = f" --table-folder {table.folder}" if table.folder else ""
        way = (
            f"Score a snapshot with `fleetscore run --table {table.format}{folder} --input "
            f'\'{{"dataset": "{dataset}"}}\'`'
        )
    return f"{way}. If every file counts, set input.table to 'files' for {list_first(readers)}."
