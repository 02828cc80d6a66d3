"""Finds the rows at fault when a step over many rows fails as a whole: by halves, so that the good rows cost little."""

from collections.abc import Callable
from typing import Generic, TypeVar

from scoring.errors import ScoringError

T = TypeVar("T")

_FEWEST_ROWS_FOR_MEMORY = 256
"""A step that has no memory for so few rows will not have it for fewer."""


class Halving(Generic[T]):
    """What came of a step over rows: `pieces` by their first row, in order, and why single rows failed.

    The answer does not depend on how the rows were cut: a row is at fault when the step fails on it alone.
    """

    def __init__(self) -> None:
        self.pieces: list[tuple[int, T]] = []
        self.failed: dict[int, BaseException] = {}


def by_halves(rows: int, step: Callable[[int, int], T], most: int) -> Halving[T]:
    """Take a step over the rows 0 to `rows`, and where it raises over each half, down to single rows.

    Ends as soon as more than `most` rows have failed, so that the number of calls is bounded by about
    2 * (most + 1) * log2(rows) beside those that succeed. Raises ScoringError as it comes: it is about no single row;
    and MemoryError when few rows have no room either.
    """
    found: Halving[T] = Halving()
    # The left half is always on top, so that pieces and failures come in the rows' order.
    open_parts = [(0, rows)]
    while open_parts and len(found.failed) <= most:
        start, stop = open_parts.pop()
        try:
            found.pieces.append((start, step(start, stop)))
        except ScoringError:
            raise
        # A model's own code may raise anything, and may even call sys.exit.
        except BaseException as error:
            if isinstance(error, MemoryError) and stop - start <= _FEWEST_ROWS_FOR_MEMORY:
                raise
            if stop - start == 1:
                found.failed[start] = error
            else:
                middle = (start + stop) // 2
                open_parts += [(middle, stop), (start, middle)]
    return found
