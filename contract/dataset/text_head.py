"""Column names of a text object, from its first bytes.

The plan, the container and the command share the rule.
"""

import csv
import json
import re
from collections.abc import Iterator
from typing import Any

from contract.dataset.formats import HEAD_BYTES, MAX_COLUMNS, ObjectFormat
from contract.dataset.input_options import InputOptions

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_SHOWN_CHARACTERS = 80
_BAD_HEADER = (
    f"its header cannot be read: a quote is misplaced, or a name has more than {csv.field_size_limit():,} characters"
)


class HeadError(ValueError):
    """Raised if column names cannot be read. The text is the reason, without values.

    `detail` may hold values.
    """

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


class HeaderEncodingError(HeadError):
    """A header of CSV is not in the record's encoding."""


class NoDataError(HeadError):
    """Raised if the text holds no data, and so no column names: no bytes, or only blank lines."""

    def __init__(self) -> None:
        super().__init__("it holds no data")


def without_mark(head: bytes) -> bytes:
    """Return the beginning of a text without its byte order mark."""
    return head.removeprefix(_BYTE_ORDER_MARK)


def is_blank(head: bytes) -> bool:
    """Return whether text in UTF-8 holds nothing but blank lines."""
    return not without_mark(head).strip()


def head_names(head: bytes, kind: ObjectFormat, options: InputOptions, *, whole: bool) -> tuple[str, ...]:
    """Return the columns of an object whose decompressed text begins with `head`.

    `whole` tells whether `head` is the whole text.

    >>> head_names(b"id,age\\n7,41\\n", ObjectFormat("csv"), InputOptions(), whole=True)
    ('id', 'age')

    Raises:
        NoDataError: if the whole text holds no data and no header.
        HeadError: if the names cannot be read.
    """
    text = without_mark(head)
    if kind.name == "jsonl":
        return _json_names(text, whole=whole)
    if not options.csv_header:
        return options.csv_columns
    return read_header(text, kind.delimiter or options.csv_delimiter, options, whole=whole)[0]


def read_header(text: bytes, delimiter: str, options: InputOptions, *, whole: bool) -> tuple[tuple[str, ...], int]:
    """Return the cells of the first line that is not blank, and the number of bytes up to its end.

    `text` has no byte order mark.

    Raises:
        NoDataError: if the text has no such line.
        HeadError: if the line cannot be read.
    """
    size = 0

    def lines() -> Iterator[str]:
        nonlocal size
        for line in _LINE.finditer(text):
            size = line.end()
            if b"\x00" in line[0]:
                raise HeadError("its header has NUL bytes, so it is not text")
            yield line[0].decode("utf-8")

    try:
        names = next((cells for cells in _rows(lines(), delimiter, options) if cells), None)
    except UnicodeDecodeError as error:
        raise HeaderEncodingError(
            "its header is not UTF-8: set input.csv_encoding if it has another encoding, such as cp1252"
        ) from error
    except csv.Error as error:
        raise HeadError(_BAD_HEADER, str(error)) from error
    if size == len(text) and not whole:
        raise HeadError(f"its first line is longer than {HEAD_BYTES:,} bytes")
    if names is None:
        raise NoDataError
    _check_count(len(names))
    return tuple(names), size


def first_rows(text: bytes, delimiter: str, options: InputOptions, *, whole: bool) -> Iterator[list[str]]:
    """Yield the cells of the first non-blank rows of a text without byte order mark.

    Raises:
        HeadError: if a row cannot be read.
    """
    lines = [line[0] for line in _LINE.finditer(text)]
    # The last line may be cut.
    decoded = (line.decode("utf-8", "replace") for line in (lines if whole else lines[:-1]))
    try:
        yield from filter(None, _rows(decoded, delimiter, options))
    except csv.Error as error:
        raise HeadError(_BAD_HEADER, str(error)) from error


def _rows(lines: Iterator[str], delimiter: str, options: InputOptions) -> Iterator[list[str]]:
    quoting: Any = csv.QUOTE_MINIMAL if options.csv_quote else csv.QUOTE_NONE
    return csv.reader(lines, delimiter=delimiter, quotechar=options.csv_quote or None, quoting=quoting, strict=True)


def _check_count(columns: int) -> None:
    if columns > MAX_COLUMNS:
        raise HeadError(f"it has {columns:,} columns, at most {MAX_COLUMNS:,} can be read")


def _json_names(text: bytes, *, whole: bool) -> tuple[str, ...]:
    """Return the fields of the JSON objects in the head, in order of first appearance."""
    lines = text.split(b"\n")
    if not whole and lines.pop() == text:
        raise HeadError(f"its first line is longer than {HEAD_BYTES:,} bytes{_hint(text, is_cut=True)}")
    lines = [line for line in lines if line.strip()]
    names: dict[str, None] = {}
    found = False
    first = lines[0] if lines else b""
    for line in lines:
        try:
            # Bytes that are not UTF-8 matter in names only.
            value = json.loads(line.decode("utf-8", "surrogateescape"))
            "".join(value if isinstance(value, dict) else ()).encode()
        except (ValueError, RecursionError):
            # The reader reports bad lines, by number.
            continue
        if isinstance(value, dict):
            found = True
            names.update(dict.fromkeys(value))
            _check_count(len(names))
    if not found:
        shown = first[:_SHOWN_CHARACTERS].decode("utf-8", "backslashreplace").strip()
        if not shown:
            raise NoDataError if whole else HeadError("its beginning is blank")
        raise HeadError(f"none of its first lines is a JSON object{_hint(first)}", f"the first line is {shown!r}")
    if not names:
        raise HeadError("its first JSON objects have no fields, so there is no column to score")
    return tuple(names)


def _hint(line: bytes, *, is_cut: bool = False) -> str:
    """Return a remedy for a line whose JSON is no row; empty if its form is unknown."""
    text = line.decode("utf-8", "replace").lstrip()
    if text.startswith("["):
        return "; the first begins like a JSON array: write one object per line"
    if not text.startswith("{"):
        return ""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        if is_cut:
            return ""
        return "; the first begins like a JSON object that is written on several lines: write each object on one line"
    if text[end:].lstrip().startswith("{"):
        return (
            "; the first begins with several JSON objects: write one object per line (Amazon Data Firehose does so "
            "with its new line delimiter)"
        )
    return ""
