import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from scoring.engine import _predict_in_order


class Run:
    """Stands where one model over one object does; `first` decides when a batch is ready."""

    error = None

    def __init__(self, predict: Any) -> None:
        self.predict = predict


def batches(count: int, taken: list[int]) -> Iterator[pa.RecordBatch]:
    for index in range(count):
        taken.append(index)
        yield pa.record_batch({"x": pa.array([index, index])})


def test_batches_run_beside_each_other_and_come_back_in_order() -> None:
    meeting = threading.Barrier(3, timeout=30)
    later = threading.Event()

    def predict(_: Any, first_row: int) -> int:
        if first_row < 6:
            meeting.wait()
        if first_row == 0:
            # The first is the last to be ready: not before the third has ended.
            assert later.wait(30)
        if first_row == 4:
            later.set()
        return first_row

    scored = list(_predict_in_order(batches(6, []), [Run(predict)], threads=3))  # type: ignore[list-item]

    assert [results for _, results in scored] == [[0], [2], [4], [6], [8], [10]]
    assert [batch.column("x")[0].as_py() for batch, _ in scored] == list(range(6))


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_batches_are_read_than_the_threads_keep_busy(threads: int) -> None:
    taken: list[int] = []
    scored = _predict_in_order(batches(50, taken), [Run(lambda *_: [])], threads)  # type: ignore[list-item]
    next(scored)
    assert len(taken) <= threads + 1
    scored.close()  # type: ignore[attr-defined]
    assert len(taken) <= threads + 1
