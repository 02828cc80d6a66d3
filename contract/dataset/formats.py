"""File formats of objects: the extension of the key names the format, and the first bytes must not
contradict it."""

from dataclasses import dataclass
from typing import Literal

from contract.dataset.text_encoding import is_utf8

FormatName = Literal["parquet", "csv", "jsonl"]
Compression = Literal["", "gzip", "zstd"]

HEAD_BYTES = 1 << 20
"""Bytes at the start of decompressed text in which column names are searched."""

MAX_COLUMNS = 50_000
"""Largest number of columns of an object. Reading one row with so many takes half a gigabyte of
memory and a second; a million columns would take 7 GB."""

NAMES = {"parquet": "Parquet", "csv": "CSV", "jsonl": "JSON Lines"}
"""Names of the formats in messages."""


@dataclass(frozen=True)
class ObjectFormat:
    """Format of an object."""

    name: FormatName
    compression: Compression = ""
    delimiter: str = ""
    """Delimiter that the extension implies; empty: the one of the model's record."""

    def __str__(self) -> str:
        name = "TSV" if self.delimiter == "\t" else NAMES[self.name]
        return f"{name} in {self.compression}" if self.compression else name


_COMPRESSIONS: dict[str, Compression] = {"": "", ".gz": "gzip", ".zst": "zstd"}
_TEXTS: dict[str, tuple[FormatName, str]] = {
    ".csv": ("csv", ""),
    ".tsv": ("csv", "\t"),
    ".jsonl": ("jsonl", ""),
    ".ndjson": ("jsonl", ""),
}
FORMATS: dict[str, ObjectFormat] = {".parquet": ObjectFormat("parquet")} | {
    text + end: ObjectFormat(name, compression, delimiter)
    for text, (name, delimiter) in _TEXTS.items()
    for end, compression in _COMPRESSIONS.items()
}
"""Format per extension of a key. Extensions are in lower case."""

EXTENSIONS_TEXT = ".parquet, or .csv, .tsv, .jsonl or .ndjson, each also followed by .gz or .zst"


def extension_of(key: str) -> str:
    """Return the extension that names a key's format; empty if there is none.

    >>> extension_of("2026/07.csv.gz"), extension_of("notes.txt")
    ('.csv.gz', '')
    """
    return next((end for end in FORMATS if key.endswith(end)), "")


def format_of(key: str) -> ObjectFormat | None:
    """Return the format of the object with this key; None if the extension is unknown.

    >>> str(format_of("2026/07.tsv.zst"))
    'TSV in zstd'
    """
    return FORMATS.get(extension_of(key))


_UTF16 = "text in UTF-16"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "Parquet"),
    (b"PARE", "encrypted Parquet"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"ORC", "ORC"),
    (b"Obj\x01", "Avro"),
    (b"ARROW1", "an Arrow file"),
    (b"%PDF-", "PDF"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xfe", _UTF16),
    (b"\xfe\xff", _UTF16),
)
_EXPECTED = {"parquet": "Parquet", "gzip": "gzip", "zstd": "zstd"}


def looks_like(first: bytes) -> str:
    """Return the format that a file's first bytes identify; empty if unknown, as with text.

    >>> looks_like(b"PAR1..."), looks_like(b"id,age")
    ('Parquet', '')
    """
    return next((name for magic, name in _MAGIC if first.startswith(magic)), "")


def contradiction(first: bytes, expected: ObjectFormat, encoding: str = "utf-8") -> str:
    """Return the other format that an object's first stored bytes identify; empty if they match.

    `encoding` is the record's encoding of CSV.

    Uncompressed text has no signature, so only the signature of another format contradicts it.

    >>> contradiction(b"PAR1", ObjectFormat("csv")), contradiction(b"id,age", ObjectFormat("csv"))
    ('Parquet', '')
    """
    found = looks_like(first)
    if found == _UTF16 and expected.name == "csv" and not is_utf8(encoding):
        return ""
    wanted = _EXPECTED.get(expected.compression or expected.name, "")
    if found == wanted or (found == "encrypted Parquet" and wanted == "Parquet"):
        return ""
    # A text may begin with the three letters of ORC or bzip2.
    if not wanted and found in ("ORC", "bzip2") and first[:64].isascii() and b"\x00" not in first[:64]:
        return ""
    return found or ("something else" if wanted else "")
