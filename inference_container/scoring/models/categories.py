"""Categories that a model stores: values of a column, numbered as in its training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contract.catalog.model_spec import ModelSpec
from scoring.columns.arrow_types import arrow_type
from scoring.columns.features import FeatureBatch
from scoring.errors import ModelError, Reason
from scoring.readers import Reading


@dataclass(frozen=True)
class Categories:
    """The stored categories of some features, in the types of the record."""

    values: Mapping[str, pa.Array] = field(default_factory=dict)
    """By feature; a value's position is its code."""
    refuses_unknown: bool = False
    """Whether the library refuses a value that is not a category. If not, it counts as missing."""

    def __bool__(self) -> bool:
        return bool(self.values)

    def unknown(self, name: str, array: pa.Array) -> npt.NDArray[np.int64]:
        """Return the positions of the values of a feature that are not among its categories."""
        known = self.values.get(name)
        if known is None:
            return np.zeros(0, dtype=np.int64)
        codes = pc.index_in(array, value_set=known, skip_nulls=True)
        if codes.null_count == array.null_count:
            return np.zeros(0, dtype=np.int64)
        missing = pc.and_(codes.is_null(), array.is_valid())
        return np.flatnonzero(missing.to_numpy(zero_copy_only=False))

    def check(self, name: str, array: pa.Array, reasons: dict[int, Reason], counts: dict[Reading, int]) -> None:
        """Add the rows whose value is not a category: to `reasons`, or only their number to `counts`."""
        unknown = self.unknown(name, array)
        if not self.refuses_unknown and len(unknown):
            reading = Reading(name, "has values that are not among the model's categories, and count as missing")
            counts[reading] = counts.get(reading, 0) + len(unknown)
            return
        for index in unknown.tolist():
            text = f"feature column {name!r} has a value that is not among the categories of the model's training"
            reasons.setdefault(index, Reason(text, repr(array[index].as_py())))

    def encode(self, batch: FeatureBatch) -> FeatureBatch:
        """Return the batch with the codes of categories in place of their values.

        Raises:
            ValueError: A value is not a category, and the library refuses it.
        """
        if not self.values:
            return batch
        arrays = tuple(self._codes(*pair) for pair in zip(batch.names, batch.arrays, strict=True))
        return FeatureBatch(batch.names, arrays, batch.with_nulls | frozenset(self.values))

    def frame(self, batch: FeatureBatch) -> Any:
        """Return a DataFrame whose columns of categories have pandas's category dtype.

        Raises:
            ValueError: As in `encode`.
        """
        import pandas as pd  # noqa: PLC0415 - only models trained on frames need it

        frame = batch.frame()
        for name, array in zip(batch.names, batch.arrays, strict=True):
            if name in self.values:
                codes = self._codes(name, array).fill_null(-1).to_numpy()
                known = self.values[name].to_pandas()
                frame[name] = pd.Categorical.from_codes(codes, categories=pd.Index(known))
        return frame

    def _codes(self, name: str, array: pa.Array) -> pa.Array:
        known = self.values.get(name)
        if known is None:
            return array
        codes = pc.index_in(array, value_set=known, skip_nulls=True)
        if self.refuses_unknown and codes.null_count > array.null_count:
            raise ValueError(
                f"categorical feature {name!r} has {codes.null_count - array.null_count:,} values that are not among "
                f"the {len(known):,} categories of its training"
            )
        return codes


def input_names(spec: ModelSpec) -> list[str]:
    """Return the feature of each input of a matrix model; a list is several inputs."""
    return [feature.name for feature in spec.features for _ in range(feature.width)]


def typed_values(spec: ModelSpec, stored: Mapping[str, Sequence[Any]]) -> dict[str, pa.Array]:
    """Return the stored categories of each feature in the type that the record declares.

    Raises:
        ModelError: The type cannot hold them.
    """
    types = {feature.name: feature.type for feature in spec.features}
    found: dict[str, pa.Array] = {}
    wrong: list[str] = []
    for name, values in stored.items():
        kind, expected = _kind_of(values)
        if types[name] not in expected:
            wrong.append(f"{name!r} is {types[name]}, its categories are {kind}: declare it as {expected[0]}")
            continue
        try:
            found[name] = pa.array(values, arrow_type(types[name]))
        except (pa.ArrowException, TypeError, OverflowError):
            found[name] = pa.nulls(0)
        # A float32 cannot hold every number: 0.1 would never be found.
        if found[name].to_pylist() != list(values):
            wrong.append(
                f"{name!r} is {types[name]}, which cannot hold all its categories: declare it as {expected[0]}"
            )
    if wrong:
        raise ModelError(
            f"model {spec.model_id!r}: its features do not fit the categories that the model stores: "
            f"{'; '.join(wrong)}: correct features in the record"
        )
    return found


_INTEGERS = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")
_FLOATS = ("double", "float")


def _kind_of(values: Sequence[Any]) -> tuple[str, tuple[str, ...]]:
    """Return what categories are, in words, and the types that a feature with them may have."""
    if all(isinstance(value, str) for value in values):
        return "texts", ("string",)
    if all(isinstance(value, bool) for value in values):
        return "true and false", ("bool",)
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        return "of several kinds", ("values of one kind in training",)
    if all(isinstance(value, int) for value in values):
        return "whole numbers", (*_INTEGERS, *_FLOATS)
    # pandas makes floating point of whole numbers with nulls.
    whole = all(float(value).is_integer() for value in values)
    return "numbers", (*_FLOATS, *(_INTEGERS if whole else ()))
