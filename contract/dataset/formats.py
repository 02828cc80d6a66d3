"""In which formats an object's rows may be: told by the end of its key, and held against its first bytes."""

from dataclasses import dataclass
from typing import Literal

FormatName = Literal["parquet", "csv", "jsonl"]
Compression = Literal["", "gzip", "zstd"]

HEAD_BYTES = 1 << 20
"""Of an object's text, decompressed: where its column names are looked for, by the plan and by the container alike."""

NAMES = {"parquet": "Parquet", "csv": "CSV", "jsonl": "JSON Lines"}
"""The formats as people write them."""


@dataclass(frozen=True)
class ObjectFormat:
    """How to read an object. `delimiter` is the one that its extension implies; empty: the record's."""

    name: FormatName
    compression: Compression = ""
    delimiter: str = ""

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
"""By the end of the key, in lower case as everywhere in this project."""

EXTENSIONS_TEXT = ".parquet, or .csv, .tsv, .jsonl or .ndjson, each also with .gz or .zst behind it"


def extension_of(key: str) -> str:
    """The end of a key that tells its format; empty when none of them does."""
    return next((end for end in FORMATS if key.endswith(end)), "")


def format_of(key: str) -> ObjectFormat | None:
    """How the object of this key is read; None when its end is not known."""
    return FORMATS.get(extension_of(key))


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
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
)
_EXPECTED = {"parquet": "Parquet", "gzip": "gzip", "zstd": "zstd"}


def looks_like(first: bytes) -> str:
    """What the first bytes of a file say that it is; empty when they say nothing, as those of text do."""
    return next((name for magic, name in _MAGIC if first.startswith(magic)), "")


def contradiction(first: bytes, expected: ObjectFormat) -> str:
    """What an object of this format looks like instead, by its first stored bytes; empty when nothing speaks against.

    Text that is not compressed has no mark of its own, so only a mark of something else speaks against it.
    """
    found = looks_like(first)
    wanted = _EXPECTED.get(expected.compression or expected.name, "")
    if found == wanted or (found == "encrypted Parquet" and wanted == "Parquet"):
        return ""
    # Three letters are too little to call a text with them ORC or bzip2.
    if not wanted and found in ("ORC", "bzip2") and first[:64].isascii() and b"\x00" not in first[:64]:
        return ""
    return found or ("something else" if wanted else "")
