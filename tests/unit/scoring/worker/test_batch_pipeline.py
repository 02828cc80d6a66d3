import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring.readers import InputBatch, open_object
from scoring.worker.batch_pipeline import PredictionThreads, ReadUnit, predict_in_order, split_into_units

X = frozenset({"x"})


def two_rows(index: int) -> InputBatch:
    return InputBatch(2 * index, pa.record_batch({"x": pa.array([index, index])}))


def units(count: int, taken: list[int]) -> Iterator[ReadUnit]:
    def unit(batch: InputBatch) -> Callable[[], tuple[InputBatch]]:
        return lambda: (batch,)

    for index in range(count):
        taken.append(index)
        yield unit(two_rows(index))


def test_batches_run_concurrently_and_come_back_in_order() -> None:
    barrier = threading.Barrier(3, timeout=30)
    later = threading.Event()

    def predict(item: InputBatch) -> int:
        if item.first_row < 6:
            barrier.wait()
        if item.first_row == 0:
            # The first batch is the last to finish: it waits for the third.
            assert later.wait(30)
        if item.first_row == 4:
            later.set()
        return item.first_row

    scored = list(predict_in_order(units(6, []), predict, PredictionThreads(3), X))

    assert [result for _, result in scored] == [0, 2, 4, 6, 8, 10]
    assert [item.batch.column("x")[0].as_py() for item, _ in scored] == list(range(6))


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_read_only_as_fast_as_threads_predict(threads: int) -> None:
    taken: list[int] = []
    scored = predict_in_order(units(50, taken), lambda item: item.first_row, PredictionThreads(threads), X)
    next(scored)
    assert len(taken) <= threads + 1
    scored.close()  # type: ignore[attr-defined]
    assert len(taken) <= threads + 1


@pytest.mark.parametrize("threads", [1, 2])
def test_waiting_batch_keeps_only_the_columns_still_needed(threads: int) -> None:
    def unit() -> tuple[InputBatch, ...]:
        return (InputBatch(5, pa.record_batch({"x": [1, 2], "key": ["a", "b"], "y": [3, 4]})),)

    seen: list[list[str]] = []

    def predict(item: InputBatch) -> None:
        seen.append(item.batch.schema.names)

    [(item, _)] = predict_in_order(iter([unit]), predict, PredictionThreads(threads), frozenset({"key"}))
    assert seen == [["x", "key", "y"]]
    assert (item.first_row, item.batch.to_pydict()) == (5, {"key": ["a", "b"]})
    [(item, _)] = predict_in_order(iter([unit]), predict, PredictionThreads(threads), frozenset())
    assert item.numbers().tolist() == [5, 6]


TABLE = pa.table({"x": pa.array(range(1_000), pa.int64()), "text": ["a"] * 1_000})


@pytest.mark.parametrize(("group_rows", "in_threads"), [(10, True), (100, True), (1_000, False), (250, False)])
def test_threads_read_small_row_groups_themselves(tmp_path: Path, group_rows: int, in_threads: bool) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet", row_group_size=group_rows)
    readers: set[int] = set()

    def rows_of(item: InputBatch) -> list[int]:
        return item.batch.column("x").to_pylist()  # type: ignore[no-any-return]

    with open_object("a.parquet", tmp_path / "a.parquet") as source:
        found = list(split_into_units(source, 30, X, threads=2))
        decoded = [unit() for unit in found]
        readers = {type(part) is tuple for part in decoded}
        scored = list(predict_in_order(split_into_units(source, 30, X, threads=2), rows_of, PredictionThreads(2), X))

    assert readers == {not in_threads}
    assert [value for _, values in scored for value in values] == list(range(1_000))
    first = 0
    for item, _ in scored:
        assert item.first_row == first
        first += item.batch.num_rows
