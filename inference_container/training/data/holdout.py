"""Chooses the rows that are held out of training.

The choice depends only on seed, object key and row position, never on batches or threads.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

# The constants of SplitMix64.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def held_out(seed: int, key: str, first_row: int, rows: int, fraction: float) -> npt.NDArray[np.bool_]:
    """Return a mask of an object's rows `first_row` to `first_row + rows - 1`, True if held out.

    On average `fraction` of the rows are held out.
    """
    digest = hashlib.blake2b(f"{seed}\n{key}".encode(), digest_size=8).digest()
    start = np.uint64(int.from_bytes(digest, "little"))
    # SplitMix64 gives each row a pseudo-random number without computing those of earlier rows.
    values: npt.NDArray[Any] = np.arange(first_row + 1, first_row + rows + 1, dtype=np.uint64) * _STEP + start
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    values ^= values >> np.uint64(31)
    # 53 bits, which a float holds exactly.
    mask: npt.NDArray[np.bool_] = (values >> np.uint64(11)).astype(np.float64) < fraction * 2.0**53
    return mask
