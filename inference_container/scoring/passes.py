"""One pass over an object: batches are read and predicted beside each other, and come back in the object's order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from contract.spec import Feature
from scoring.readers import InputBatch, InputObject

T = TypeVar("T")

Unit = Callable[[], Iterable[InputBatch]]
"""A part of an object that a thread reads and predicts by itself."""

_BATCH_BYTES = 16 << 20
"""Of a batch's columns together with the matrix that a model gets of them."""
_FEWEST_ROWS = 256
_TEXT_BYTES = 32
"""A guess for a value of no fixed width whose stored bytes are not known."""
_WAITING_BYTES_A_THREAD = 48 << 20


def rows_a_batch(most: int, source: InputObject, columns: frozenset[str], features: Sequence[Feature]) -> int:
    """At most `most` rows, and fewer where rows are wide. It depends on the object and the models alone."""
    stored = source.stored_bytes()
    rows = source.rows or 0
    width = 8.0 * len(features)
    for field in source.schema:
        if field.name in columns:
            average = stored.get(field.name, 0) / rows if rows else 0
            width += max(average, _fixed_width(field.type))
    return max(min(most, _FEWEST_ROWS), min(most, int(_BATCH_BYTES / max(width, 1))))


def _fixed_width(kind: pa.DataType) -> float:
    try:
        return float(kind.bit_width) / 8
    except ValueError:
        return _TEXT_BYTES


def units(source: InputObject, rows: int, columns: frozenset[str], threads: int) -> Iterator[Unit]:
    """The object's parts in order.

    Where row groups are small, each thread reads its own: decoding is most of the work of light models. Where one is
    larger than two batches, it is read in one go, so that never more than the waiting batches are in memory.
    """
    groups = source.group_rows()
    if threads == 1 or len(groups) < 2 or max(groups) > 2 * rows:
        for batch in source.batches(rows, columns, use_threads=threads > 1):
            yield lambda batch=batch: (batch,)  # type: ignore[misc]
        return
    first = gathered = 0
    for index, count in enumerate(groups):
        gathered += count
        if gathered >= rows or index == len(groups) - 1:
            part = (first, index + 1)
            yield lambda part=part: source.batches(rows, columns, use_threads=False, groups=part)  # type: ignore[misc]
            first, gathered = index + 1, 0


def in_order(parts: Iterator[Unit], predict: Callable[[InputBatch], T], threads: int) -> Iterator[tuple[InputBatch, T]]:
    """Each batch with what `predict` gave; several at a time, but no more than keep the threads busy or fit."""

    def score(unit: Unit) -> list[tuple[InputBatch, T]]:
        return [(batch, predict(batch)) for batch in unit()]

    if threads == 1:
        for unit in parts:
            for batch in unit():
                yield batch, predict(batch)
        return
    waiting: deque[Future[list[tuple[InputBatch, T]]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")
    try:
        for unit in parts:
            waiting.append(pool.submit(score, unit))
            while len(waiting) > threads or (len(waiting) > 1 and _held(waiting) > _WAITING_BYTES_A_THREAD * threads):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _held(waiting: Iterable[Future[list[tuple[InputBatch, T]]]]) -> int:
    """Bytes of the batches that are done and wait for their turn."""
    done = (future.result() for future in waiting if future.done() and not future.exception())
    return sum(batch.batch.nbytes for results in done for batch, _ in results)
