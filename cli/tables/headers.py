"""Compares the headers of a table's CSV files with its columns."""

import csv
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from cli.failures import CommandError
from cli.tables.snapshot import TableSnapshot
from contract.triggers.uploads import ObjectVersion

HEAD_BYTES = 64 << 10
"""Bytes that are read of each object, compressed or not. A longer header is refused."""
_GZIP = b"\x1f\x8b"
_THREADS = 16

ReadHead = Callable[[ObjectVersion], bytes]
"""Returns the first `HEAD_BYTES` of an object."""


def check_headers(objects: Sequence[ObjectVersion], snapshot: TableSnapshot, read: ReadHead) -> None:
    """Check that each object's header has the table's columns in the table's order.

    Athena names cells by their position and ignores the header, so another order would give other
    values to the same names.

    Raises:
        CommandError: naming the first object with another header.
    """
    columns = [name.lower() for name in snapshot.columns]
    with ThreadPoolExecutor(_THREADS) as pool:
        heads = pool.map(read, (item for item in objects if item.size))
        different = [
            (item.key, found)
            for item, head in zip((item for item in objects if item.size), heads, strict=True)
            if (found := header(head, snapshot.header_delimiter)) != columns
        ]
    if different:
        key, found = different[0]
        raise CommandError(
            f"{snapshot.name} has {len(different):,} of {len(objects):,} files whose header is not the table's columns "
            f"{', '.join(columns[:5])}: {key} has {', '.join(found[:5]) or 'no header in UTF-8 or gzip'}. Write these "
            "files with the table's columns in their order, or write the rows to Parquet with `UNLOAD` in Athena."
        )


def header(head: bytes, delimiter: str) -> list[str]:
    """Return the names in the first line of an object, in lower case; none if it cannot be read.

    >>> header(b'Age;"Plan"\\n1;a\\n', ";")
    ['age', 'plan']
    """
    try:
        text = (zlib.decompressobj(31).decompress(head) if head.startswith(_GZIP) else head).decode(
            "utf-8-sig", "ignore"
        )
        line, end, _ = text.partition("\n")
        if not end and len(head) >= HEAD_BYTES:
            return []
        return [name.strip().lower() for name in next(csv.reader([line.rstrip("\r")], delimiter=delimiter), [])]
    except (zlib.error, csv.Error, TypeError):
        return []
