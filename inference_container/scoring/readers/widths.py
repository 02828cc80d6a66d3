"""How much room values take once they are decoded."""

import pyarrow as pa

TEXT_BYTES = 32
"""A guess for a value of no fixed width whose stored bytes are not known."""


def decoded_width(kind: pa.DataType, stored: float) -> float:
    """Bytes of a value of this type in memory; `stored` is what one takes in its object, 0 where that is unknown.

    A dictionary makes stored values small, so the type's own width is the least; text has none, and gets a guess.
    """
    try:
        fixed = float(kind.bit_width) / 8
    except ValueError:
        fixed = float(TEXT_BYTES)
    return max(stored, fixed)


def has_fixed_width(kind: pa.DataType) -> bool:
    try:
        return bool(kind.bit_width)
    except ValueError:
        return False
