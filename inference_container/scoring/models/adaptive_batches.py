"""Batches that fit: split when memory does not hold them, larger again as long as they fit."""

import sys
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from scoring.columns.features import FeatureBatch
from scoring.models import LoadedModel

FLOOR_ROWS = 64
"""A model for which this many rows are too many has no room at all."""
_FITS_BEFORE_GROWTH = 16
_WORTH_A_TRY = 1.1
_OUT_OF_MEMORY_CLASSES = frozenset({"MemoryError", "OutOfMemoryError", "ResourceExhaustedError"})
"""Python's and pyarrow's, PyTorch's, TensorFlow's."""
_OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "cudaerrormemoryallocation",
    "cublas_status_alloc_failed",
    "can't allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
)
"""How libraries that raise their one error for everything say it: XGBoost, ONNX Runtime, PyTorch on the CPU."""


@dataclass(frozen=True)
class BatchLimit:
    """How many rows at most go into one call. None: as many as come.

    It begins without a limit, and not small, so that a job that never runs out of memory predicts the same batches
    in each attempt: neural networks give other last digits for other batches.
    """

    rows: int | None = None
    too_many: int | None = None
    """The smallest number of rows that did not fit: growth stays below it."""
    fitted: int = 0
    """The largest number of rows that did fit under a limit."""
    fits: int = 0
    """Calls of the full `rows` that fitted since the last change."""

    def size(self, left: int) -> int:
        return left if self.rows is None else min(left, self.rows)

    def after_fit(self, rows: int) -> "BatchLimit":
        """Grow after some full batches: half way to what did not fit, as long as that is worth a try."""
        if self.rows is None or rows < self.rows:
            return self
        known = replace(self, fitted=max(self.fitted, rows), fits=self.fits + 1)
        if known.fits < _FITS_BEFORE_GROWTH:
            return known
        grown = self.rows * 2 if self.too_many is None else (self.rows + self.too_many) // 2
        return replace(known, rows=grown, fits=0) if grown >= self.rows * _WORTH_A_TRY else known

    def after_out_of_memory(self, rows: int) -> "BatchLimit | None":
        """What is known to fit, else half of what did not; None when there is nothing left to halve."""
        if rows <= FLOOR_ROWS:
            return None
        fitted = self.fitted if self.fitted < rows else 0
        smaller = fitted or max(FLOOR_ROWS, rows // 2)
        # Another thread may have learned more in the meantime.
        if self.rows is not None:
            smaller = min(smaller, self.rows)
        known = rows if self.too_many is None else min(rows, self.too_many)
        return BatchLimit(smaller, too_many=known, fitted=fitted)


class AdaptiveModel:
    """A model whose batches shrink when memory runs out, instead of failing. Its other attributes are the model's."""

    def __init__(self, model: LoadedModel, limit: BatchLimit | None = None) -> None:
        self._model = model
        self._limit = limit or BatchLimit()
        self._lock = threading.Lock()
        self.notes: tuple[str, ...] = getattr(model, "notes", ())

    @property
    def native(self) -> Any:
        return self._model.native

    @property
    def outputs(self) -> tuple[pa.Field, ...]:
        return self._model.outputs

    @property
    def concurrent(self) -> bool:
        return self._model.concurrent

    def release_memory(self) -> None:
        """Give back what the library keeps for later; most keep nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, batch: FeatureBatch) -> Any:
        """Like the model's own; raises MemoryError when not even a small part of the batch fits."""
        parts: list[Any] = []
        start = 0
        while start < batch.rows:
            rows = self._limit.size(batch.rows - start)
            whole = rows == batch.rows
            try:
                values = self._model.predict(batch if whole else batch.slice(start, rows))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(rows, error)
                continue
            with self._lock:
                self._limit = self._limit.after_fit(rows)
            if whole:
                return values
            parts.append(np.asarray(values))
            start += rows
        return np.concatenate(parts)

    def _shrink(self, rows: int, error: Exception) -> None:
        with self._lock:
            smaller = self._limit.after_out_of_memory(rows)
            if smaller is None:
                raise MemoryError(f"not even {rows:,} rows fit into memory ({error})") from error
            self._limit = smaller
        sys.stderr.write(f"out of memory with batches of {rows:,} rows: going on with {smaller.rows:,}\n")
        self.release_memory()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library says that memory ran out: by its exception's class, else by its text."""
    if any(cls.__name__ in _OUT_OF_MEMORY_CLASSES for cls in type(error).__mro__):
        return True
    text = str(error).lower()
    return any(words in text for words in _OUT_OF_MEMORY_TEXTS)
