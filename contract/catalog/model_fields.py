"""The fields of a model's record."""

from dataclasses import dataclass

from contract.problems import InvalidInputError, Problem

DEFAULT_OUTPUT_COLUMN = "prediction"
"""Of a model with one prediction column; several have the label of each behind it, as in `prediction_late`."""


ARROW_TYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double", "string"}
)
"""Names of the Arrow types that a feature may declare, as `str(pyarrow.DataType)` prints them."""


@dataclass(frozen=True)
class Feature:
    """One input column of a model, in the model's own order."""

    name: str
    type: str
    """An Arrow type name out of `ARROW_TYPES`."""
    nullable: bool = True

    def __post_init__(self) -> None:
        if self.type not in ARROW_TYPES:
            expected = "an Arrow type, one of " + ", ".join(sorted(ARROW_TYPES))
            raise InvalidInputError("Feature", [Problem("type", self.type, expected)])
