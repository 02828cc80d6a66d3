"""How much room values take once they are decoded."""

import pyarrow as pa

TEXT_BYTES = 32
"""A guess for a value of no fixed width whose stored bytes are not known."""


def fixed_width(kind: pa.DataType) -> float | None:
    """Bytes of every value of this type, an eighth for a boolean; None where they differ, as of text."""
    try:
        return float(kind.bit_width) / 8
    except ValueError:
        return None


def decoded_width(kind: pa.DataType, stored: float) -> float:
    """Bytes of a value of this type in memory; `stored` is what one takes in its object, 0 where that is unknown.

    A dictionary makes stored values small, so the type's own width is the least; text has none, and gets a guess.
    """
    width = fixed_width(kind)
    return max(stored, TEXT_BYTES if width is None else width)
