"""Arranges the new pages, page indexes and footer that follow the copied input bytes."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, islice

from contract.dataset.thrift_compact import Struct, i32, i64
from scoring.splice.footer.column_chunks import ChunkPart, OutputChunk
from scoring.splice.footer.new_footer import FooterExtension
from scoring.splice.footer.page_index import merged_column_index, merged_offset_index
from scoring.splice.footer.parsed_footer import MAGIC, ChunkField, Footer
from scoring.splice.footer.statistics import order_of
from scoring.splice.prediction_chunks import EncodedPredictions


def appended_parts(extension: FooterExtension, predictions: EncodedPredictions) -> tuple[list[range], bytes]:
    """Return what follows the input's bytes: ranges of the encoded predictions, then other bytes."""
    added = predictions.footer
    start = extension.source.start
    groups = list(_output_chunks(added, predictions.part_counts, start))
    flat = [chunk for group in groups for chunk in group]
    end_of_pages = start + sum(chunk.size for chunk in flat)
    indexes, index_fields = _page_indexes(predictions, flat, end_of_pages)
    # Only chunks of several parts have their statistics merged.
    orders = [order_of(leaf) if max(predictions.part_counts, default=0) > 1 else None for leaf in added.leaves]
    index_field = iter(index_fields)
    described = [
        [(chunk, chunk.encode(order, next(index_field))) for chunk, order in zip(group, orders, strict=True)]
        for group in groups
    ]
    data = extension.encode(described)
    return _contiguous_ranges(flat), indexes + data + len(data).to_bytes(4, "little") + MAGIC


def _output_chunks(added: Footer, part_counts: Sequence[int], offset: int) -> Iterator[list[OutputChunk]]:
    """Yield each row group's new column chunks, the first at `offset` in the output."""
    remaining = iter(added.groups)
    for count in part_counts:
        parts = list(islice(remaining, count))
        chunks = []
        for leaf in range(len(added.leaves)):
            chunk = OutputChunk(tuple(ChunkPart.parse(part.chunks[leaf], part.rows) for part in parts), offset)
            chunks.append(chunk)
            offset += chunk.size
        yield chunks


def _contiguous_ranges(chunks: Sequence[OutputChunk]) -> list[range]:
    """Return the byte ranges of the encoded predictions to copy, in order, adjacent ones joined."""
    found: list[range] = []
    for part in (part for chunk in chunks for part in chunk.parts if part.size):
        if found and found[-1].stop == part.start:
            found[-1] = range(found[-1].start, part.start + part.size)
        else:
            found.append(range(part.start, part.start + part.size))
    return found


def _page_indexes(
    predictions: EncodedPredictions, chunks: Sequence[OutputChunk], offset: int
) -> tuple[bytes, list[Struct]]:
    """Return the page indexes of all chunks, and per chunk the fields that refer to them.

    The first index begins at `offset` in the output.
    """
    references: list[Struct] = [{} for _ in chunks]
    if not predictions.has_page_index:
        return b"", references
    out = bytearray()
    for field in (ChunkField.COLUMN_INDEX, ChunkField.OFFSET_INDEX):
        for chunk, reference in zip(chunks, references, strict=True):
            ranges = [part.index_range(field) for part in chunk.parts]
            indexes = [predictions.read(start, size) for start, size in filter(None, ranges)]
            if len(indexes) != len(ranges):
                continue
            if field == ChunkField.COLUMN_INDEX:
                index = merged_column_index(indexes)
            else:
                first_rows = accumulate((part.rows for part in chunk.parts[:-1]), initial=0)
                index = merged_offset_index(indexes, list(chunk.shifts()), list(first_rows))
            reference[field] = i64(offset + len(out))
            reference[field + 1] = i32(len(index))
            out += index
    return bytes(out), [dict(sorted(reference.items())) for reference in references]
