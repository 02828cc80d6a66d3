"""File formats of objects: the record or the extension of the key names the format, and the first
bytes must not contradict it."""

from dataclasses import dataclass, replace
from typing import Literal

from contract.dataset.text_encoding import is_utf8

FormatName = Literal["parquet", "csv", "jsonl"]
DeclaredFormat = Literal["", "parquet", "csv", "tsv", "jsonl"]
"""The format that a model's record declares; empty: by the key's extension, else by the content."""
Compression = Literal["", "gzip", "zstd"]

HEAD_BYTES = 1 << 20
"""Bytes at the start of decompressed text in which column names are searched."""

FIRST_BYTES = 64
"""Stored bytes that identify a format."""

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
    """Delimiter that the format implies; empty: the one of the model's record."""

    def __str__(self) -> str:
        name = "TSV" if self.delimiter == "\t" else NAMES[self.name]
        return f"{name} in {self.compression}" if self.compression else name


_COMPRESSIONS: dict[str, Compression] = {"": "", ".gz": "gzip", ".zst": "zstd"}
_TEXTS: dict[str, tuple[FormatName, str]] = {
    ".csv": ("csv", ""),
    ".tsv": ("csv", "\t"),
    ".jsonl": ("jsonl", ""),
    ".ndjson": ("jsonl", ""),
    ".json": ("jsonl", ""),
}
_DECLARED: dict[str, ObjectFormat] = {
    "parquet": ObjectFormat("parquet"),
    "csv": ObjectFormat("csv"),
    "tsv": ObjectFormat("csv", delimiter="\t"),
    "jsonl": ObjectFormat("jsonl"),
}
FORMATS: dict[str, ObjectFormat] = dict.fromkeys((".parquet", ".pq", ".parq"), ObjectFormat("parquet")) | {
    text + end: ObjectFormat(name, compression, delimiter)
    for text, (name, delimiter) in _TEXTS.items()
    for end, compression in _COMPRESSIONS.items()
}
"""Format per extension of a key. Keys may have them in upper case."""

_OTHER_FORMATS = {
    "ORC": "orc",
    "Avro": "avro",
    "Arrow": "arrow feather ipc",
    "a spreadsheet": "xlsx xls ods",
    "an archive": "zip tar tgz 7z rar",
    "a compression that is not supported": "bz2 xz lz4 lzo snappy deflate br",
    "a document or an image": "pdf html htm xml md yaml yml png jpg jpeg gif",
    "code": "py ipynb sql",
    "a model": "pkl pickle joblib onnx",
    "arrays or a database": "npy npz h5 hdf5 db sqlite duckdb",
    "metadata of another tool": "crc metadata",
    "a control file": "done ok ctl flag trigger ready sha256 md5 manifest lock",
    "an unfinished file": "tmp bak",
}
_OTHER_EXTENSIONS = {f".{end}": name for name, ends in _OTHER_FORMATS.items() for end in ends.split()}

EXTENSIONS_TEXT = ".parquet, .pq, .parq, or .csv, .tsv, .jsonl, .ndjson or .json, each also followed by .gz or .zst"


def extension_of(key: str) -> str:
    """Return the extension that names a key's format, in lower case; empty if there is none.

    >>> extension_of("2026/07.CSV.gz"), extension_of("notes.txt")
    ('.csv.gz', '')
    """
    lower = key.lower()
    return next((end for end in FORMATS if lower.endswith(end)), "")


def format_of(key: str, declared: DeclaredFormat = "") -> ObjectFormat | None:
    """Return the format of the record or of the key's extension; None if only the content shows it.

    >>> str(format_of("2026/07.tsv.zst")), str(format_of("2026/07.txt", "csv")), format_of("000")
    ('TSV in zstd', 'CSV', None)
    """
    return _DECLARED[declared] if declared else FORMATS.get(extension_of(key))


def other_format(key: str) -> str:
    """Return the unsupported format that the extension names; empty if there is none.

    >>> other_format("2026/07.orc"), other_format("2026/07.txt")
    ('ORC', '')
    """
    return _OTHER_EXTENSIONS.get(key[max(key.rfind("."), 0) :].lower(), "")


UTF16 = "text in UTF-16"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "Parquet"),
    (b"PARE", "encrypted Parquet"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    # A skippable frame, with which pzstd begins each file.
    *((bytes([first]) + b"\x2a\x4d\x18", "zstd") for first in range(0x50, 0x60)),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"ORC", "ORC"),
    (b"Obj\x01", "Avro"),
    (b"ARROW1", "an Arrow file"),
    (b"%PDF-", "PDF"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xfe", UTF16),
    (b"\xfe\xff", UTF16),
)
_PARQUET = ("Parquet", "encrypted Parquet")
_COMPRESSED: dict[str, Compression] = {"gzip": "gzip", "zstd": "zstd"}
_TEXT_CONTROLS = frozenset(b"\t\n\r\x01")
"""Control characters that text may have; Hive's delimiter is one of them."""


def looks_like(first: bytes) -> str:
    """Return the format that a file's first bytes identify; empty if unknown, as with text.

    >>> looks_like(b"PAR1..."), looks_like(b"id,age")
    ('Parquet', '')
    """
    found = next((name for magic, name in _MAGIC if first.startswith(magic)), "")
    # A text may begin with the three letters of ORC or bzip2.
    return "" if found in ("ORC", "bzip2") and first[:FIRST_BYTES].isascii() and _is_text(first) else found


def contradiction(first: bytes, expected: ObjectFormat, encoding: str = "utf-8") -> str:
    """Return the other format that an object's first stored bytes identify; empty if they match.

    `encoding` is the record's encoding of CSV.

    Uncompressed text has no signature, so only the signature of another format contradicts it. Text
    may be compressed regardless of its name, because the bytes show it.

    >>> contradiction(b"PAR1", ObjectFormat("csv")), contradiction(b"id,age", ObjectFormat("csv"))
    ('Parquet', '')
    """
    found = looks_like(first)
    if found == UTF16 and expected.name == "csv" and not is_utf8(encoding):
        return ""
    if expected.name == "parquet":
        return "" if found in _PARQUET else found or "something else"
    if found in _COMPRESSED:
        return ""
    if expected.compression and not found and not _is_text(first):
        return "something else"
    return found


def with_compression(kind: ObjectFormat, first: bytes) -> ObjectFormat:
    """Return the format of text with the compression that its first stored bytes show.

    >>> str(with_compression(ObjectFormat("csv"), b"\\x1f\\x8b\\x08"))
    'CSV in gzip'
    """
    return kind if kind.name == "parquet" else replace(kind, compression=_COMPRESSED.get(looks_like(first), ""))


def _is_text(first: bytes) -> bool:
    return all(byte >= ord(" ") or byte in _TEXT_CONTROLS for byte in first[:FIRST_BYTES])
