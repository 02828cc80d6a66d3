"""Batches shrink when memory runs out; the predictions stay the same."""

import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.columns.features import FeatureBatch
from scoring.models.adaptive_batches import MIN_ROWS, AdaptiveModel, BatchLimit, is_out_of_memory


class OutOfMemoryError(RuntimeError):
    """Has the name of PyTorch's exception."""


class Memory:
    """A model with memory for `room` rows; `calls` are the batch sizes that it predicted."""

    outputs = (pa.field("prediction", pa.float64()),)
    concurrent = True
    extra = "the model's own"

    def __init__(self, room: int, error: Exception | None = None) -> None:
        self.room = room
        self.error = error or OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.calls: list[int] = []

    def predict(self, batch: FeatureBatch) -> Any:
        if batch.rows > self.room:
            raise self.error
        self.calls.append(batch.rows)
        return batch.matrix(np.float64).sum(1)


def batch_of(rows: int) -> FeatureBatch:
    return FeatureBatch(("a", "b"), (pa.array(np.arange(rows, dtype=float)), pa.array([1.0] * rows)), frozenset())


@given(rows=st.integers(1, 5_000), room=st.integers(MIN_ROWS, 5_000))
def test_predictions_do_not_depend_on_the_batch_limit(rows: int, room: int) -> None:
    model = AdaptiveModel(Memory(room))
    expected = np.arange(rows, dtype=float) + 1.0
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(batch_of(rows)), expected)


def test_batches_shrink_only_when_memory_runs_out() -> None:
    memory = Memory(room=10_000)
    model = AdaptiveModel(memory)
    model.predict(batch_of(10_000))
    assert memory.calls == [10_000]
    memory.room = 3_000
    model.predict(batch_of(10_000))
    assert memory.calls == [10_000, 2_500, 2_500, 2_500, 2_500]


def test_batches_grow_towards_the_largest_that_fits() -> None:
    memory = Memory(room=1_900)
    model = AdaptiveModel(memory)
    for _ in range(40):
        model.predict(batch_of(4_000))
    assert memory.calls[0] == 1_000
    # 1,000 fitted and 2,000 did not: the limit halves the distance until a step is below a tenth.
    assert sorted(set(memory.calls) & {1_000, 1_500, 1_750, 1_875, 2_000}) == [1_000, 1_500, 1_750]
    assert memory.calls[-3:] == [1_750, 1_750, 500]


def test_batch_limit_grows_and_shrinks() -> None:
    limit = BatchLimit().after_out_of_memory(8_000)
    assert limit == BatchLimit(4_000, too_many=8_000)
    smaller = limit.after_out_of_memory(4_000)
    assert smaller == BatchLimit(2_000, too_many=4_000)
    for _ in range(16):
        smaller = smaller.after_fit(2_000)
    assert smaller == BatchLimit(3_000, too_many=4_000, fitted=2_000)
    # After a growth that was too large it returns to what is known to fit.
    assert smaller.after_out_of_memory(3_000) == BatchLimit(2_000, too_many=3_000, fitted=2_000)
    # A size that fitted before may fail when other processes take the memory.
    assert BatchLimit(2_000, 3_000, fitted=2_000).after_out_of_memory(2_000) == BatchLimit(1_000, too_many=2_000)
    # A batch smaller than the limit does not count.
    assert BatchLimit(500, fits=15).after_fit(499) == BatchLimit(500, fits=15)
    # Without a known failure it doubles.
    assert BatchLimit(500, fits=15).after_fit(500) == BatchLimit(1_000, fitted=500)
    assert BatchLimit().after_out_of_memory(MIN_ROWS) is None


def test_memory_for_too_few_rows_raises_memory_error() -> None:
    model = AdaptiveModel(Memory(room=MIN_ROWS - 1))
    with pytest.raises(MemoryError, match=f"not even {MIN_ROWS} rows fit into memory .*CUDA out of memory"):
        model.predict(batch_of(1_000))


def test_other_errors_are_not_caught() -> None:
    with pytest.raises(ValueError, match="wrong"):
        AdaptiveModel(Memory(room=0, error=ValueError("wrong"))).predict(batch_of(1_000))


def test_concurrent_failures_halve_the_batch_only_once() -> None:
    memory = Memory(room=700)
    model = AdaptiveModel(memory)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(model.predict(batch_of(5_000)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(result, np.arange(5_000) + 1.0) for result in results)
    # Each failure halves the size that failed, so four failures at 5,000 rows halve it once.
    assert set(memory.calls) == {625}


def test_other_attributes_are_those_of_the_model() -> None:
    model = AdaptiveModel(Memory(room=1))
    assert (model.concurrent, model.extra) == (True, "the model's own")
    assert model.outputs == Memory.outputs
    with pytest.raises(AttributeError):
        _ = model.nothing


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        pa.ArrowMemoryError("malloc of size 8 failed"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError(
            "[12:00:00] src/common/device_vector.cu: Memory allocation error: std::bad_alloc: cudaErrorMemoryAllocation"
        ),
        RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 1"),
        type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor with shape[1]"),
    ],
    ids=str,
)
def test_out_of_memory_errors_of_every_library_are_recognized(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_other_errors_are_not_out_of_memory_errors() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
