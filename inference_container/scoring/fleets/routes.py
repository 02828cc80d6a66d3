"""Finds the member of each row by its route."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contract.job.fleet import FleetSpec
from scoring.columns.arrow_types import arrow_type
from scoring.columns.predictions import numeric_column
from scoring.errors import ConfigurationError
from scoring.readers.text.cell_types import text_array

UNMATCHED = -1
"""Place of a row that no member scores."""


class Routes:
    """The routes of a fleet, by the place of the member that they name."""

    def __init__(self, fleet: FleetSpec, feature_type: str, places: Mapping[str, int]) -> None:
        """`feature_type` is that of the column with the routes, `places` has the place of each member.

        Raises ConfigurationError if routes cannot have this type.
        """
        kind = arrow_type(feature_type)
        if not (pa.types.is_string(kind) or pa.types.is_integer(kind)):
            raise ConfigurationError(
                f"fleet {fleet.fleet_id!r}: its routes are in column {fleet.route_by!r} of type {feature_type}, "
                "expected string or a type of whole numbers: correct the feature in the records of its models"
            )
        known = {value: places[model_id] for text, model_id in fleet.routes.items() if (value := _value(text, kind))}
        self._values = _column([value[0] for value in known], kind)
        fallback = places[fleet.fallback] if fleet.fallback else UNMATCHED
        # The last element is that of rows with another route, whose index is -1.
        self._places = np.array([*known.values(), fallback], dtype=np.int32)

    def find(self, array: pa.Array) -> npt.NDArray[np.int32]:
        """Return the place of each row's member, or UNMATCHED."""
        found = pc.index_in(array, value_set=self._values, skip_nulls=True)
        indexes = np.from_dlpack(found.fill_null(numeric_column(np.array([-1], dtype=np.int32))[0]))
        found_places: npt.NDArray[np.int32] = self._places[indexes]
        return found_places


def _value(text: str, kind: pa.DataType) -> tuple[object] | None:
    """Return a route as a value of its column's type, in a tuple; None if no row can have it."""
    if pa.types.is_string(kind):
        return (text,)
    try:
        number = int(text)
    except ValueError:
        return None
    limits = np.iinfo(kind.to_pandas_dtype())
    return (number,) if limits.min <= number <= limits.max else None


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    # pa.array would import pandas.
    if pa.types.is_string(kind):
        return text_array(values)
    return numeric_column(np.array(values, kind.to_pandas_dtype()))
