"""Splits batches that do not fit into memory, and lets them grow again while they fit."""

import sys
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from scoring.columns.features import FeatureBatch
from scoring.models import LoadedModel

MIN_ROWS = 64
"""Smallest batch to try, in rows."""
_FITS_BEFORE_GROWTH = 16
_MIN_GROWTH = 1.1
_OUT_OF_MEMORY_CLASSES = frozenset({"MemoryError", "OutOfMemoryError", "ResourceExhaustedError"})
"""Exception classes of Python and pyarrow, PyTorch, and TensorFlow."""
_OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "cudaerrormemoryallocation",
    "cublas_status_alloc_failed",
    "can't allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
)
"""Phrases in messages of libraries without such a class: XGBoost, ONNX Runtime, PyTorch (CPU)."""


@dataclass(frozen=True)
class BatchLimit:
    """Largest number of rows per call, learned from calls that fit and calls that did not.

    There is no limit at first, so that a job that never runs out of memory predicts the same
    batches in each attempt: the last digits of a neural network's predictions depend on the batch.
    """

    rows: int | None = None
    """None means no limit."""
    too_many: int | None = None
    """Smallest number of rows that did not fit; growth stays below it."""
    fitted: int = 0
    """Largest number of rows that fitted under a limit."""
    fits: int = 0
    """Calls with the full number of rows that fitted since the last change."""

    def size(self, left: int) -> int:
        return left if self.rows is None else min(left, self.rows)

    def after_fit(self, rows: int) -> "BatchLimit":
        """Return the limit after a call that fitted.

        After several full batches the limit grows: it doubles, or grows half way to the smallest
        size that did not fit. A growth of less than 10 % is skipped.
        """
        if self.rows is None or rows < self.rows:
            return self
        known = replace(self, fitted=max(self.fitted, rows), fits=self.fits + 1)
        if known.fits < _FITS_BEFORE_GROWTH:
            return known
        grown = self.rows * 2 if self.too_many is None else (self.rows + self.too_many) // 2
        return replace(known, rows=grown, fits=0) if grown >= self.rows * _MIN_GROWTH else known

    def after_out_of_memory(self, rows: int) -> "BatchLimit | None":
        """Return a smaller limit: a size that fitted, else half of `rows`; None at the minimum."""
        if rows <= MIN_ROWS:
            return None
        fitted = self.fitted if self.fitted < rows else 0
        smaller = fitted or max(MIN_ROWS, rows // 2)
        # Another thread may have found a smaller limit meanwhile.
        if self.rows is not None:
            smaller = min(smaller, self.rows)
        known = rows if self.too_many is None else min(rows, self.too_many)
        return BatchLimit(smaller, too_many=known, fitted=fitted)


class AdaptiveModel:
    """A model whose batches shrink instead of failing when memory runs out.

    All other attributes are those of the wrapped model.
    """

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
        """Free the memory that the library caches; does nothing for libraries without a cache."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, batch: FeatureBatch) -> Any:
        """Predict in as many calls as necessary.

        Raises:
            MemoryError: Not even a small part of the batch fits.
        """
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
        sys.stderr.write(f"out of memory with batches of {rows:,} rows: continuing with {smaller.rows:,}\n")
        self.release_memory()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, by its class or by its message."""
    if any(cls.__name__ in _OUT_OF_MEMORY_CLASSES for cls in type(error).__mro__):
        return True
    text = str(error).lower()
    return any(words in text for words in _OUT_OF_MEMORY_TEXTS)
