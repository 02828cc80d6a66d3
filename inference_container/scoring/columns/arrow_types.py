"""Arrow types of features."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.dataset.feature_types import feature_type

_TENSOR_OR_JSON = frozenset({"arrow.fixed_shape_tensor", "arrow.json"})
"""Extension types whose stored values are what a feature reads."""


def arrow_type(declared: str) -> pa.DataType:
    """Return the type of a feature's values. A list is a `FixedSizeListType`."""
    wanted = feature_type(declared)
    if wanted.kind == "date":
        return pa.date32()
    if wanted.kind == "timestamp":
        return pa.timestamp(wanted.unit, wanted.zone or None)
    if wanted.kind == "list":
        return pa.list_(arrow_type(wanted.item), wanted.length)
    return pa.float64() if declared == "double" else pa.type_for_alias(declared)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values, without a dictionary or a known extension around it."""
    while True:
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType) and kind.extension_name in _TENSOR_OR_JSON:
            kind = kind.storage_type
        else:
            return kind


def plain_column(column: pa.Array) -> pa.Array:
    """Return a column with values of `plain_type`."""
    while plain_type(column.type) != column.type:
        column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column.storage
    return column


def filter_column(column: Any, good: npt.NDArray[np.bool_]) -> Any:
    """Return the values of a column of any type at which a mask is true."""
    try:
        return column.filter(pa.array(good))
    # Arrow filters no views of text or bytes, as DataFusion writes them, but joins slices of them.
    except pa.ArrowNotImplementedError:
        edges = np.flatnonzero(np.diff(good, prepend=False, append=False)).tolist()
        slices = [column.slice(start, stop - start) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
        return pa.concat_arrays(slices or [column.slice(0, 0)])
