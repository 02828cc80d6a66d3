"""One pass over an object: batches are read and predicted beside each other, and come back in the object's order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from contract.catalog.model_fields import Feature
from scoring.columns.widths import decoded_width
from scoring.readers import InputBatch, InputObject

T = TypeVar("T")

Unit = Callable[[], Iterable[InputBatch]]
"""A part of an object that a thread reads and predicts by itself."""

_BATCH_BYTES = 8 << 20
"""Of a batch's columns together with the matrix that a model gets of them."""
_FEWEST_ROWS = 256
_FEWEST_BATCHES_OF_A_UNIT, _MOST_BATCHES_OF_A_UNIT = 4, 8
"""The last batch of a unit may be a small one, and threads should not wait long for the last unit."""
_THREADS_FED_BY_ONE = 3
"""As many as predict with the lightest model what one decodes of Parquet; several take twice the CPU time for it."""
_WAITING_BYTES_A_THREAD = 48 << 20


class Hands:
    """The threads that work on one object. Use as a context manager."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="predict") if threads > 1 else None
        """None: there is only the thread that asks."""

    def __enter__(self) -> "Hands":
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def rows_a_batch(
    most: int, source: InputObject, columns: frozenset[str], features: Sequence[Feature], usual: int = 1
) -> int:
    """At most `most` rows, and fewer where rows are wide: as many as have room in so many usual batches.

    It depends on the object and the models alone.
    """
    stored = source.stored_bytes()
    rows = source.rows or 0
    width = 8.0 * len(features)
    for field in source.schema:
        if field.name in columns:
            width += decoded_width(field.type, stored.get(field.name, 0) / rows if rows else 0)
    return max(min(most, _FEWEST_ROWS), min(most, int(usual * _BATCH_BYTES / max(width, 1))))


def units(source: InputObject, rows: int, columns: frozenset[str], threads: int) -> Iterator[Unit]:
    """The object's parts in order.

    Where row groups are small, each thread reads its own: decoding is most of the work of light models. Where one is
    larger than some batches, it is read in one go, so that never more than the waiting batches are in memory.
    """
    groups = source.group_rows()
    if threads == 1 or len(groups) < 2 or max(groups) > _MOST_BATCHES_OF_A_UNIT * rows:
        fed_by_one = _THREADS_FED_BY_ONE if groups else 1
        for batch in source.batches(rows, columns, use_threads=threads > fed_by_one):
            yield lambda batch=batch: (batch,)  # type: ignore[misc]
        return
    first = gathered = 0
    for index, count in enumerate(groups):
        gathered += count
        if gathered >= _FEWEST_BATCHES_OF_A_UNIT * rows or index == len(groups) - 1:
            part = (first, index + 1)
            yield lambda part=part: source.batches(rows, columns, use_threads=False, groups=part)  # type: ignore[misc]
            first, gathered = index + 1, 0


def in_order(
    parts: Iterator[Unit], predict: Callable[[InputBatch], T], hands: Hands, kept: frozenset[str]
) -> Iterator[tuple[InputBatch, T]]:
    """Each batch, with its `kept` columns alone, and what `predict` gave for it.

    Several at a time, but no more than keep the threads busy or fit.
    """

    def score(unit: Unit) -> Iterator[tuple[InputBatch, T]]:
        for batch in unit():
            result = predict(batch)
            yield batch.only(kept), result

    if hands.pool is None:
        for unit in parts:
            yield from score(unit)
        return
    waiting: deque[Future[list[tuple[InputBatch, T]]]] = deque()
    try:
        for unit in parts:
            waiting.append(hands.pool.submit(list, score(unit)))
            while len(waiting) > hands.threads or (
                len(waiting) > 1 and _held(waiting) > _WAITING_BYTES_A_THREAD * hands.threads
            ):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        # Nothing is predicted any more once this has ended.
        wait([future for future in waiting if not future.cancel()])


def _held(waiting: Iterable[Future[list[tuple[InputBatch, T]]]]) -> int:
    """Bytes of the batches that are done and wait for their turn."""
    done = (future.result() for future in waiting if future.done() and not future.exception())
    return sum(batch.batch.nbytes for results in done for batch, _ in results)
