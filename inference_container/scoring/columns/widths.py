"""Estimates the memory that decoded values take."""

import functools

import pyarrow as pa

TEXT_BYTES = 32
"""Estimated bytes of a variable-width value whose stored size is unknown."""


@functools.lru_cache(maxsize=256)
def fixed_width(kind: pa.DataType) -> float | None:
    """Return the bytes per value of a type (1/8 for a boolean), or None for a variable width."""
    if pa.types.is_fixed_size_list(kind):
        item = fixed_width(kind.value_type)
        return None if item is None else item * kind.list_size
    try:
        return float(kind.bit_width) / 8
    except ValueError:
        return None


def decoded_width(kind: pa.DataType, stored: float) -> float:
    """Return the bytes per decoded value; `stored` is the bytes per stored value, 0 if unknown.

    Dictionary encoding makes stored values small, so the result is at least the type's fixed width,
    or an estimate for a variable width.
    """
    width = fixed_width(kind)
    return max(stored, TEXT_BYTES if width is None else width)
