"""Compares the columns of a snapshot's files with those of the table, from the files' footers."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cli.failures import CommandError
from cli.tables.snapshot import TableFormat, TableSnapshot, import_extra
from contract.triggers.uploads import ObjectVersion

_TAIL_BYTES = 64 << 10
_MAGIC = b"PAR1"
_END_BYTES = 8
"""Length of the footer, and the magic number."""
_THREADS = 16
_FIELD_ID = b"PARQUET:field_id"

Read = Callable[[ObjectVersion, int], bytes]
"""Returns an object's bytes from an offset to its end."""


def check_columns(objects: Sequence[ObjectVersion], snapshot: TableSnapshot, read: Read, extra: TableFormat) -> None:
    """Check that each object has exactly the table's columns.

    A file that was written before a column was added, renamed or dropped has others. Its rows would
    be scored without the column, or with another one of that name.

    Raises:
        CommandError: naming the first such object.
    """
    arrow, parquet = import_extra("pyarrow", extra), import_extra("pyarrow.parquet", extra)

    def schema_of(item: ObjectVersion) -> Any:
        # A file of a footer only is enough for the schema.
        return parquet.read_schema(arrow.BufferReader(_MAGIC + _footer(item, read)))

    with ThreadPoolExecutor(_THREADS) as pool:
        schemas = pool.map(schema_of, objects)
        different = [
            (item.key, why)
            for item, schema in zip(objects, schemas, strict=True)
            if (
                why := difference(
                    schema, snapshot.columns, snapshot.partition_columns, ignores_case=snapshot.ignores_case
                )
            )
        ]
    if different:
        key, why = different[0]
        raise CommandError(
            f"{snapshot.name} has {len(different):,} of {len(objects):,} files whose columns are not the table's: "
            f"{key} {why}. Rewrite these files with the table's current columns, and run the command again."
        )


def difference(
    schema: Any,
    columns: Mapping[str, int | None],
    optional: frozenset[str],
    *,
    ignores_case: bool = False,
) -> str:
    """Return how a file's columns differ from the table's; empty if they do not."""
    names = [name.lower() for name in schema.names] if ignores_case else list(schema.names)
    if len(set(names)) < len(names):
        return "has columns whose names differ only in case"
    missing = [name for name in columns if name not in names and name not in optional]
    if missing:
        return f"lacks {', '.join(missing[:5])}"
    more = [name for name in names if name not in columns]
    if more:
        return f"also has {', '.join(more[:5])}"
    for name in () if ignores_case else names:
        found = (schema.field(name).metadata or {}).get(_FIELD_ID)
        if columns[name] is not None and found is not None and int(found) != columns[name]:
            return f"has another column under the name {name} (field id {int(found)}, the table's is {columns[name]})"
    return ""


def _footer(item: ObjectVersion, read: Read) -> bytes:
    """Return the end of a Parquet object, from its footer on."""
    tail = read(item, max(0, item.size - _TAIL_BYTES))
    length = int.from_bytes(tail[-_END_BYTES : -len(_MAGIC)], "little") + _END_BYTES
    if tail[-len(_MAGIC) :] != _MAGIC or length > item.size:
        raise CommandError(f"{item.key} is not a Parquet file that can be read. Write it again.")
    return tail[-length:] if length <= len(tail) else read(item, item.size - length)
