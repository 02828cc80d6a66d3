"""By which rules an object is written anew instead of spliced, in words for the ledger that follow 'because'."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from contract.thrift_compact import STRUCT, ThriftError
from scoring.splice.descriptions import arrow_schema_problem
from scoring.splice.footer import ChunkField, ColumnField, FileField, Footer, FooterError, GroupField, read_footer
from scoring.splice.spans import fields, integer, read_list


def refusal(source: Path, columns: Sequence[pa.Field]) -> str | None:
    """Why this file cannot be spliced with these prediction columns, or None when it can."""
    try:
        with source.open("rb", buffering=0) as file:
            return refusal_of(read_footer(file), columns)
    except FooterError as error:
        return str(error)


def refusal_of(footer: Footer, columns: Sequence[pa.Field]) -> str | None:
    """The same, for a footer that is already read."""
    try:
        return (
            _unfit_columns(footer, columns)
            or _protected(footer)
            or _unknown(footer)
            or _inconsistent(footer)
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


def _chunk(raw: bytes, end: int) -> str | None:
    """What speaks against one column chunk; all data must lie before the footer, which begins at `end`."""
    described = False
    for field, _, start, stop in fields(raw):
        if field == ChunkField.METADATA:
            described = True
            if problem := _outside(raw, start, end):
                return problem
        elif field in (ChunkField.CRYPTO, ChunkField.ENCRYPTED_METADATA):
            return "it has encrypted columns"
        elif field == ChunkField.FILE_PATH and stop - start > 1:
            return "it has columns that are stored in another file"
        elif field in (ChunkField.OFFSET_INDEX, ChunkField.COLUMN_INDEX) and not 0 <= integer(raw, start) < end:
            return "a page index does not lie before the footer"
    return None if described else "a column chunk has no description"


def _outside(raw: bytes, at: int, end: int) -> str | None:
    """Whether the pages that a ColumnMetaData tells of do not lie before the footer."""
    size, first, pages = 0, end, []
    for field, _, start, _ in fields(raw, at):
        if field == ColumnField.COMPRESSED_BYTES:
            size = integer(raw, start)
        elif field in (ColumnField.DATA_PAGE, ColumnField.DICTIONARY_PAGE, ColumnField.BLOOM_FILTER):
            pages.append(integer(raw, start))
            if field != ColumnField.BLOOM_FILTER:
                first = min(first, pages[-1])
    # Writers give 0 for a dictionary page that is not there and for a chunk without pages.
    if size < 0 or any(not 0 <= page <= end for page in pages) or (size and first + size > end):
        return "the pages of a column do not lie before the footer"
    return None
