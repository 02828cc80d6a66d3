"""Decides whether an object's bytes can be copied.

The ledger stores the reason against it, which completes a sentence after "because".
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

import pyarrow as pa

from contract.dataset.thrift_compact import STRUCT, ThriftError, field_offsets, fields, integer
from scoring.splice.footer.chunk_pattern import USUAL_CHUNK, decoded_numbers
from scoring.splice.footer.descriptions import arrow_schema_problem
from scoring.splice.footer.parsed_footer import ChunkField, ColumnField, FileField, Footer, GroupField, structs_of
from scoring.splice.prediction_chunks import rows_per_part

_ENCRYPTED = frozenset({ChunkField.CRYPTO, ChunkField.ENCRYPTED_METADATA})
_INDEXES = frozenset({ChunkField.OFFSET_INDEX, ChunkField.COLUMN_INDEX})
_PAGE_FIELDS = frozenset(
    {ColumnField.COMPRESSED_BYTES, ColumnField.DATA_PAGE, ColumnField.DICTIONARY_PAGE, ColumnField.BLOOM_FILTER}
)
_INDEX_ELSEWHERE = "a page index is not before the footer"
_PAGES_ELSEWHERE = "the pages of a column are not before the footer"

_MAX_CHUNK_PARTS = 100_000
"""Limit on parts of column chunks; 100 double columns of 10 million rows come close."""


def refusal_of(footer: Footer, columns: Sequence[pa.Field]) -> str | None:
    """Return why a file cannot be spliced with these prediction columns, None if it can."""
    try:
        return (
            _unsuitable_columns(footer, columns)
            or _protected(footer)
            or _unknown(footer)
            or _inconsistent(footer)
            or _too_many_parts(footer, columns)
            or _unsuitable_chunk(footer)
            or arrow_schema_problem(footer)
        )
    except ThriftError as error:
        return f"its footer cannot be parsed: {error}"


def _unsuitable_columns(footer: Footer, columns: Sequence[pa.Field]) -> str | None:
    if not columns:
        return "there are no prediction columns to add"
    try:
        names = [name.decode() for name in footer.names]
    except UnicodeDecodeError:
        return "it has a column whose name is not UTF-8"
    counts = Counter(names) + Counter(field.name for field in columns)
    twice = [field.name for field in columns if counts[field.name] > 1]
    return f"the prediction column {twice[0]!r} would appear twice" if twice else None


def _protected(footer: Footer) -> str | None:
    if FileField.ENCRYPTION in footer.struct or FileField.SIGNING_KEY in footer.struct:
        return "its footer is signed, and a changed footer would need the key"
    return None


def _unknown(footer: Footer) -> str | None:
    """Refuse unknown fields, which may describe every column and would then become wrong."""
    if unknown := footer.struct.keys() - FileField.KNOWN:
        return f"its footer has a field {min(unknown)} that this version does not know"
    for group in footer.groups:
        if unknown := group.struct.keys() - GroupField.KNOWN:
            return f"its row groups have a field {min(unknown)} that this version does not know"
    return None


def _inconsistent(footer: Footer) -> str | None:
    leaves = len(footer.leaves)
    if any(len(group.chunks) != leaves for group in footer.groups):
        return f"a row group does not have the {leaves:,} columns of the schema"
    if any(group.rows < 0 for group in footer.groups) or footer.rows != sum(group.rows for group in footer.groups):
        return f"the rows of its row groups are not the {footer.rows:,} of the file"
    orders = footer.struct.get(FileField.COLUMN_ORDERS)
    if orders is not None and len(structs_of(orders)) != leaves:
        return f"its column orders are not {leaves:,}, one per column"
    return None


def _too_many_parts(footer: Footer, columns: Sequence[pa.Field]) -> str | None:
    """Limit the parts, whose descriptions stay in memory until the output is complete."""
    rows = rows_per_part(columns)
    count = sum(-(-group.rows // rows) for group in footer.groups) * len(columns)
    if count > _MAX_CHUNK_PARTS:
        return f"its {footer.rows:,} rows are too many for {len(columns):,} prediction columns"
    return None


def _unsuitable_chunk(footer: Footer) -> str | None:
    problems = (chunk_problem(raw, footer.start) for group in footer.groups for raw in group.chunks)
    return next(filter(None, problems), None)


def chunk_problem(raw: bytes, end: int) -> str | None:
    """Return why a column chunk cannot be copied; its data must precede the footer at `end`."""
    if usual := USUAL_CHUNK.fullmatch(raw):
        return _usual_chunk_problem(usual, end)
    return parsed_chunk_problem(raw, end)


def parsed_chunk_problem(raw: bytes, end: int) -> str | None:
    """Do what `chunk_problem` does, for a column chunk of any layout."""
    described = False
    pages: dict[int, int] = {}
    for field, kind, start, stop in fields(raw, parsers={ChunkField.METADATA: partial(_parse_page_fields, pages)}):
        if field == ChunkField.METADATA:
            described = kind == STRUCT
        elif field in _ENCRYPTED:
            return "it has encrypted columns"
        elif field == ChunkField.FILE_PATH and stop - start > 1:
            return "it has columns that are stored in another file"
        elif field in _INDEXES and not 0 <= integer(raw, start) < end:
            return _INDEX_ELSEWHERE
    if not described:
        return "a column chunk has no description"
    size = pages.pop(ColumnField.COMPRESSED_BYTES, 0)
    bloom_filter = pages.pop(ColumnField.BLOOM_FILTER, 0)
    is_before = 0 <= bloom_filter <= end and _are_before(end, size, tuple(pages.values()))
    return None if is_before else _PAGES_ELSEWHERE


def _usual_chunk_problem(found: re.Match[bytes], end: int) -> str | None:
    _, _, size, data, dictionary, offsets, limits = decoded_numbers(found)
    if not (0 <= offsets < end and 0 <= limits < end):
        return _INDEX_ELSEWHERE
    return None if _are_before(end, size, (data, dictionary)) else _PAGES_ELSEWHERE


def _parse_page_fields(pages: dict[int, int], raw: bytes, at: int) -> int:
    """Collect the offsets and size of a ColumnMetaData's pages; return the offset of its end."""
    found, end = field_offsets(raw, at, _PAGE_FIELDS)
    pages.update({field: integer(raw, start) for field, start in found.items()})
    return end


def _are_before(end: int, size: int, firsts: tuple[int, ...]) -> bool:
    """Return whether pages of `size` bytes, of which each kind begins at an offset, are before `end`."""
    if size < 0 or (firsts and not 0 <= min(firsts) <= max(firsts) <= end):
        return False
    # Writers give 0 as the offset of a missing dictionary page, and in chunks without pages.
    return not size or min(filter(None, firsts), default=end) + size <= end
