"""Reads and predicts batches of one object concurrently and returns them in the object's order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from scoring.readers import InputBatch, InputObject

T = TypeVar("T")

ReadUnit = Callable[[], Iterable[InputBatch]]
"""A range of an object's batches that one thread reads and predicts."""

_MIN_BATCHES_PER_UNIT, _MAX_BATCHES_PER_UNIT = 4, 8
"""At least 4, because the last batch of a unit may be small; at most 8, so that no thread waits
long for the last unit."""
_MAX_THREADS_PER_READER = 3
"""Predicting threads that one decoding thread keeps busy with the lightest model. Decoding Parquet
on several threads takes twice the CPU time."""
_MAX_WAITING_BYTES_PER_THREAD = 48 << 20


class PredictionThreads:
    """The threads that work on one object. Use as a context manager."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pool = ThreadPoolExecutor(count, thread_name_prefix="predict") if count > 1 else None
        """None means that the calling thread does all the work."""

    def __enter__(self) -> "PredictionThreads":
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def split_into_units(source: InputObject, rows: int, columns: frozenset[str], threads: int) -> Iterator[ReadUnit]:
    """Split the object into units, in order, with batches of at most `rows` rows.

    If row groups are small, each thread reads its own row groups, because decoding is most of the
    work of light models. If a row group is larger than a few batches, one thread reads all of them.
    Memory then holds no more than the waiting batches.
    """
    groups = source.group_rows()
    if threads == 1 or len(groups) < 2 or max(groups) > _MAX_BATCHES_PER_UNIT * rows:
        max_threads = _MAX_THREADS_PER_READER if groups else 1
        for batch in source.batches(rows, columns, use_threads=threads > max_threads):
            yield lambda batch=batch: (batch,)  # type: ignore[misc]
        return
    first = gathered = 0
    for index, count in enumerate(groups):
        gathered += count
        if gathered >= _MIN_BATCHES_PER_UNIT * rows or index == len(groups) - 1:
            part = (first, index + 1)
            yield lambda part=part: source.batches(rows, columns, use_threads=False, groups=part)  # type: ignore[misc]
            first, gathered = index + 1, 0


def predict_in_order(
    units: Iterator[ReadUnit], predict: Callable[[InputBatch], T], threads: PredictionThreads, kept: frozenset[str]
) -> Iterator[tuple[InputBatch, T]]:
    """Yield each batch, reduced to its `kept` columns, with the result of `predict`.

    Units run concurrently, limited to what keeps the threads busy and fits in memory.
    """

    def predict_unit(unit: ReadUnit) -> Iterator[tuple[InputBatch, T]]:
        for batch in unit():
            result = predict(batch)
            yield batch.only(kept), result

    if threads.pool is None:
        for unit in units:
            yield from predict_unit(unit)
        return
    waiting: deque[Future[list[tuple[InputBatch, T]]]] = deque()
    try:
        for unit in units:
            waiting.append(threads.pool.submit(list, predict_unit(unit)))
            while len(waiting) > threads.count or (
                len(waiting) > 1 and _finished_bytes(waiting) > _MAX_WAITING_BYTES_PER_THREAD * threads.count
            ):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        # No thread may predict once this generator has ended.
        wait([future for future in waiting if not future.cancel()])


def _finished_bytes(waiting: Iterable[Future[list[tuple[InputBatch, T]]]]) -> int:
    """Return the bytes of batches that are predicted and wait for earlier ones."""
    done = (future.result() for future in waiting if future.done() and not future.exception())
    return sum(batch.batch.nbytes for results in done for batch, _ in results)
