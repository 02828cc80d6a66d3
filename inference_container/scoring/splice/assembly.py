"""The output file's bytes: the input up to its footer, the new pages, their indexes, the new footer."""

from collections.abc import Iterator, Sequence
from io import FileIO
from itertools import accumulate, islice

import pyarrow as pa

from scoring.splice.footer.column_chunks import Chunk, Piece
from scoring.splice.footer.new_footer import new_footer
from scoring.splice.footer.page_index import merged_column_index, merged_offset_index
from scoring.splice.footer.parsed_footer import MAGIC, ChunkField, Footer
from scoring.splice.footer.statistics import order_of
from scoring.splice.prediction_chunks import FinishedPieces
from scoring.splice.ranges import append
from scoring.splice.spans import Struct, i32, i64


def assemble(out: FileIO, footer: Footer, columns: Sequence[pa.Field], pieces: FinishedPieces) -> int:
    """Write what follows the input's bytes, whose footer this is; returns how many bytes the file must have."""
    added = pieces.footer
    groups = list(_chunks(added, pieces.counts, footer.start))
    flat = [chunk for group in groups for chunk in group]
    end_of_pages = footer.start + sum(chunk.size for chunk in flat)
    indexes, places = _page_indexes(pieces, flat, end_of_pages)
    orders = [order_of(leaf) for leaf in added.leaves]
    place = iter(places)
    described = [
        [(chunk, chunk.described(order, next(place))) for chunk, order in zip(group, orders, strict=True)]
        for group in groups
    ]
    data = new_footer(footer, added, columns, described)
    for start, end in _stretches(flat):
        pieces.append_to(out, start, end - start)
    append(out, indexes + data + len(data).to_bytes(4, "little") + MAGIC)
    return end_of_pages + len(indexes) + len(data) + 4 + len(MAGIC)


def _chunks(added: Footer, counts: Sequence[int], at: int) -> Iterator[list[Chunk]]:
    """The new column chunks of each row group, the first of which begins at `at`."""
    remaining = iter(added.groups)
    for count in counts:
        groups = list(islice(remaining, count))
        chunks = []
        for leaf in range(len(added.leaves)):
            chunk = Chunk(tuple(Piece.of(group.chunks[leaf], group.rows) for group in groups), at)
            chunks.append(chunk)
            at += chunk.size
        yield chunks


def _stretches(chunks: Sequence[Chunk]) -> list[tuple[int, int]]:
    """What to copy from the file of pieces, in order, with neighbours as one."""
    found: list[tuple[int, int]] = []
    for piece in (piece for chunk in chunks for piece in chunk.pieces if piece.size):
        if found and found[-1][1] == piece.start:
            found[-1] = (found[-1][0], piece.start + piece.size)
        else:
            found.append((piece.start, piece.start + piece.size))
    return found


def _page_indexes(pieces: FinishedPieces, chunks: Sequence[Chunk], at: int) -> tuple[bytes, list[Struct]]:
    """The page indexes of all chunks that begin at `at`, and the fields that tell each ColumnChunk of its own."""
    places: list[Struct] = [{} for _ in chunks]
    out = bytearray()
    for field in (ChunkField.COLUMN_INDEX, ChunkField.OFFSET_INDEX):
        for chunk, place in zip(chunks, places, strict=True):
            ranges = [piece.index_range(field) for piece in chunk.pieces]
            parts = [pieces.read(start, size) for start, size in filter(None, ranges)]
            if len(parts) != len(ranges):
                continue
            if field == ChunkField.COLUMN_INDEX:
                index = merged_column_index(parts)
            else:
                first_rows = accumulate((piece.rows for piece in chunk.pieces[:-1]), initial=0)
                index = merged_offset_index(parts, list(chunk.shifts()), list(first_rows))
            place[field] = i64(at + len(out))
            place[field + 1] = i32(len(index))
            out += index
    return bytes(out), [dict(sorted(place.items())) for place in places]
