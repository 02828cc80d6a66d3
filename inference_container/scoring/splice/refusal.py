"""By which rules an object is written anew instead of spliced, in words for the ledger that follow 'because'."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

import pyarrow as pa

from contract.dataset.thrift_compact import STRUCT, ThriftError
from scoring.splice.footer.chunk_pattern import USUAL_CHUNK
from scoring.splice.footer.descriptions import arrow_schema_problem
from scoring.splice.footer.parsed_footer import ChunkField, ColumnField, FileField, Footer, GroupField
from scoring.splice.prediction_chunks import piece_rows
from scoring.splice.spans import fields, integer, places, read_list

_ENCRYPTED = frozenset({ChunkField.CRYPTO, ChunkField.ENCRYPTED_METADATA})
_INDEXES = frozenset({ChunkField.OFFSET_INDEX, ChunkField.COLUMN_INDEX})
_PLACES = frozenset(
    {ColumnField.COMPRESSED_BYTES, ColumnField.DATA_PAGE, ColumnField.DICTIONARY_PAGE, ColumnField.BLOOM_FILTER}
)
_INDEX_ELSEWHERE = "a page index does not lie before the footer"
_PAGES_ELSEWHERE = "the pages of a column do not lie before the footer"

_MOST_PIECES = 100_000
"""Of single columns; a hundred columns of 10 million rows have as many."""


def refusal_of(footer: Footer, columns: Sequence[pa.Field]) -> str | None:
    """Why a file with this footer cannot be spliced with these prediction columns, or None when it can."""
    try:
        return (
            _unfit_columns(footer, columns)
            or _protected(footer)
            or _unknown(footer)
            or _inconsistent(footer)
            or _too_many_pieces(footer, columns)
            or next(filter(None, (_chunk(raw, footer.start) for group in footer.groups for raw in group.chunks)), None)
            or arrow_schema_problem(footer)
        )
    except ThriftError as error:
        return f"its footer cannot be understood: {error}"


def _unfit_columns(footer: Footer, columns: Sequence[pa.Field]) -> str | None:
    if not columns:
        return "there are no prediction columns to add"
    try:
        names = [name.decode() for name in footer.names]
    except UnicodeDecodeError:
        return "it has a column whose name is not UTF-8"
    counts = Counter(names) + Counter(field.name for field in columns)
    twice = [field.name for field in columns if counts[field.name] > 1]
    return f"the prediction column {twice[0]!r} would be there twice" if twice else None


def _protected(footer: Footer) -> str | None:
    if FileField.ENCRYPTION in footer.struct or FileField.SIGNING_KEY in footer.struct:
        return "its footer is signed, and a changed footer would need the key"
    return None


def _unknown(footer: Footer) -> str | None:
    """What speaks of all columns, and may not stay as it is where columns are added."""
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
    if orders is not None and len(read_list(orders, STRUCT)) != leaves:
        return f"its column orders are not {leaves:,}, one a column"
    return None


def _too_many_pieces(footer: Footer, columns: Sequence[pa.Field]) -> str | None:
    """All pieces are described in memory until the end, which is nothing unless there are very many columns."""
    rows = piece_rows(columns)
    count = sum(-(-group.rows // rows) for group in footer.groups) * len(columns)
    if count > _MOST_PIECES:
        return f"its {footer.rows:,} rows are too many for {len(columns):,} prediction columns"
    return None


def _chunk(raw: bytes, end: int) -> str | None:
    """What speaks against one column chunk; all data must lie before the footer, which begins at `end`."""
    if usual := USUAL_CHUNK.fullmatch(raw):
        return _usual_chunk(usual, end)
    described = False
    pages: dict[int, int] = {}
    for field, kind, start, stop in fields(raw, walks={ChunkField.METADATA: partial(_walk_pages, pages)}):
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
    return None if _lie_before(end, pages) else _PAGES_ELSEWHERE


def _usual_chunk(found: re.Match[bytes], end: int) -> str | None:
    # Writers give 0 for what is not there.
    size, data, dictionary, offsets, limits = [0 if raw is None else integer(raw) for raw in found.groups()]
    if not (0 <= offsets < end and 0 <= limits < end):
        return _INDEX_ELSEWHERE
    pages = {
        ColumnField.COMPRESSED_BYTES: size,
        ColumnField.DATA_PAGE: data,
        ColumnField.DICTIONARY_PAGE: dictionary,
    }
    return None if _lie_before(end, pages) else _PAGES_ELSEWHERE


def _walk_pages(pages: dict[int, int], raw: bytes, at: int) -> int:
    """Collect where the pages of a ColumnMetaData lie; returns where it ends."""
    found, end = places(raw, at, _PLACES)
    pages.update({field: integer(raw, start) for field, start in found.items()})
    return end


def _lie_before(end: int, pages: dict[int, int]) -> bool:
    size = pages.pop(ColumnField.COMPRESSED_BYTES, 0)
    if size < 0 or any(not 0 <= page <= end for page in pages.values()):
        return False
    # Writers give 0 for a dictionary page that is not there and for a chunk without pages.
    firsts = [pages.get(field, 0) for field in (ColumnField.DATA_PAGE, ColumnField.DICTIONARY_PAGE)]
    return not size or min(filter(None, firsts), default=end) + size <= end
