"""Which types of an object's column a feature can be read from: one rule for the plan and for the container."""

_INTEGER_BITS = {f"{sign}int{bits}": (sign, bits) for sign in ("", "u") for bits in (8, 16, 32, 64)}
_TEXT = frozenset({"string", "large_string", "string_view"})


def holds_every_value(declared: str, found: str) -> bool:
    """Whether the declared type can hold every value of the found one, both named as pyarrow prints them.

    Integers go to floating point too: values that a floating-point number cannot hold are refused when they are met.
    """
    if found in (declared, "null"):
        return True
    if declared == "string":
        return found in _TEXT
    if declared in ("float", "double"):
        return found in _INTEGER_BITS or found in ("bool", "halffloat", "float")
    if declared in _INTEGER_BITS:
        return found == "bool" or (found in _INTEGER_BITS and _fits(_INTEGER_BITS[found], _INTEGER_BITS[declared]))
    return False


def _fits(found: tuple[str, int], declared: tuple[str, int]) -> bool:
    (found_sign, found_bits), (declared_sign, declared_bits) = found, declared
    if found_sign == declared_sign:
        return found_bits <= declared_bits
    return found_sign == "u" and found_bits < declared_bits
