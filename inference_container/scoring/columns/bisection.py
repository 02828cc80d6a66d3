"""Finds the rows that make a function fail, by bisecting the row range."""

from collections.abc import Callable
from typing import Generic, TypeVar

from scoring.errors import ScoringError

T = TypeVar("T")

_MIN_ROWS_TO_BISECT_MEMORY_ERRORS = 256
"""Ranges of at most this many rows are not split further after a MemoryError."""


class BisectionResult(Generic[T]):
    """The outcome of a bisection.

    `results` has each result with its first row, in row order; `failures` has an exception per
    failed row. A row counts as failed only if the function fails for it alone, so the failures do
    not depend on how the range was split.
    """

    def __init__(self) -> None:
        self.results: list[tuple[int, T]] = []
        self.failures: dict[int, BaseException] = {}


def bisect_failures(rows: int, function: Callable[[int, int], T], max_failures: int) -> BisectionResult[T]:
    """Call `function(start, stop)` for all rows, and return the results and failures.

    Where the function raises, it is called for each half of the range, down to single rows. The
    search stops once more than `max_failures` rows have failed. That bounds the failing calls by
    about 2 * (max_failures + 1) * log2(rows).

    Raises ScoringError from `function` unchanged, since it is not about a single row, and
    MemoryError if even a few rows do not fit in memory.

    >>> inverses = lambda start, stop: [1 / (row - 2) for row in range(start, stop)]
    >>> found = bisect_failures(4, inverses, max_failures=1)
    >>> [start for start, _ in found.results], list(found.failures)
    ([0, 3], [2])
    """
    found: BisectionResult[T] = BisectionResult()
    # The left half is always on top, so that results and failures come in row order.
    open_ranges = [(0, rows)]
    while open_ranges and len(found.failures) <= max_failures:
        start, stop = open_ranges.pop()
        try:
            found.results.append((start, function(start, stop)))
        except ScoringError:
            raise
        # A model's code may raise anything, and may even call sys.exit.
        except BaseException as error:
            if isinstance(error, MemoryError) and stop - start <= _MIN_ROWS_TO_BISECT_MEMORY_ERRORS:
                raise
            if stop - start == 1:
                found.failures[start] = error
            else:
                middle = (start + stop) // 2
                open_ranges += [(middle, stop), (start, middle)]
    return found
