"""The Arrow types that a feature accepts in an object's columns.

The plan and the container share the rule.
"""

from collections.abc import Collection, Iterable

_INTEGER_BITS = {f"{sign}int{bits}": (sign, bits) for sign in ("", "u") for bits in (8, 16, 32, 64)}
_TEXT = frozenset({"string", "large_string", "string_view"})


def holds_every_value(declared: str, found: str) -> bool:
    """Tell whether a declared Arrow type can hold the values of the type that was found.

    Both types are named as pyarrow prints them. Floating-point types accept integers of any size;
    the reader refuses single values that they cannot represent.

    >>> holds_every_value("int32", "int16"), holds_every_value("int32", "uint32"), holds_every_value("double", "int64")
    (True, False, True)
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


def similar_name(name: str, names: Iterable[str]) -> str:
    """Return the first of some names that differs only in case or in blanks around it; else empty.

    >>> similar_name("age", ["id", " Age"]), similar_name("age", ["id"])
    (' Age', '')
    """
    wanted = name.strip().casefold()
    return next((other for other in names if other.strip().casefold() == wanted and other != name), "")


def may_be_absent(name: str, nullable: bool, found: Collection[str], features: Iterable[str]) -> bool:
    """Tell whether JSON Lines may lack a feature, which is null then.

    Spark leaves out nulls, so that an object may lack a feature. If the object has none of the
    model's features or a similar name, the name is probably a mistake.

    >>> may_be_absent("b", True, ["a"], ["a", "b"]), may_be_absent("b", True, ["a", "B"], ["a", "b"])
    (True, False)
    """
    return nullable and not similar_name(name, found) and any(feature in found for feature in features)
