"""Chooses the rows that are held out of training.

The choice depends only on seed, object key, row position and class, never on batches or threads.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

# The constants of SplitMix64.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_NUMBERS = 2.0**53
"""Row numbers are below this. A float holds them exactly."""
EXACT_ROWS = 10_000
"""Largest class of which exactly the wanted share is held out. Of larger ones it is, on average."""


def row_numbers(seed: int, key: str, first_row: int, rows: int) -> npt.NDArray[np.float64]:
    """Return a pseudo-random number of each of an object's rows `first_row` to `first_row + rows - 1`."""
    digest = hashlib.blake2b(f"{seed}\n{key}".encode(), digest_size=8).digest()
    start = np.uint64(int.from_bytes(digest, "little"))
    # SplitMix64 gives each row a pseudo-random number without computing those of earlier rows.
    values: npt.NDArray[Any] = np.arange(first_row + 1, first_row + rows + 1, dtype=np.uint64) * _STEP + start
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    values ^= values >> np.uint64(31)
    numbers: npt.NDArray[np.float64] = (values >> np.uint64(11)).astype(np.float64)
    return numbers


def held_out(numbers: npt.NDArray[np.float64], fraction: float) -> npt.NDArray[np.bool_]:
    """Return a mask that is True for rows that are held out: on average, for `fraction` of them."""
    mask: npt.NDArray[np.bool_] = numbers < fraction * _NUMBERS
    return mask


def held_out_of_classes(
    numbers: npt.NDArray[np.float64], labels: npt.NDArray[Any], limits: Mapping[Any, float]
) -> npt.NDArray[np.bool_]:
    """Return a mask that is True for rows whose number is below the limit of their class."""
    classes, places = np.unique(labels, return_inverse=True)
    of_class = np.array([limits[value] for value in classes.tolist()], dtype=np.float64)
    mask: npt.NDArray[np.bool_] = numbers < of_class[places]
    return mask


class ClassLimits:
    """Finds for each class the number below which its rows are held out, from all rows.

    Of a small class, exactly the share is held out, rounded, but at least one row, and never all.
    So a rare class has rows on both sides, which a draw among all rows does not ensure.
    """

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction
        self._rows: dict[Any, int] = {}
        self._numbers: dict[Any, list[npt.NDArray[np.float64]]] = {}

    @property
    def classes(self) -> int:
        return len(self._rows)

    def add(self, labels: npt.NDArray[Any], numbers: npt.NDArray[np.float64]) -> None:
        """Add rows: their classes, and their numbers."""
        classes, places = np.unique(labels, return_inverse=True)
        for place, value in enumerate(classes.tolist()):
            chosen = numbers[places == place]
            self._rows[value] = self._rows.get(value, 0) + len(chosen)
            if self._rows[value] <= EXACT_ROWS:
                self._numbers.setdefault(value, []).append(chosen)
            else:
                self._numbers.pop(value, None)

    def limits(self) -> dict[Any, float]:
        """Return the limit of each class."""
        return {value: self._limit(value, rows) for value, rows in self._rows.items()}

    def _limit(self, value: Any, rows: int) -> float:
        if rows > EXACT_ROWS:
            return self._fraction * _NUMBERS
        if rows < 2:
            return 0.0
        numbers = np.sort(np.concatenate(self._numbers[value]))
        return float(numbers[min(max(round(rows * self._fraction), 1), rows - 1)])
