"""Time zones of features, and the precision with which times reach a model as numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from contract.dataset.feature_types import feature_type
from scoring.errors import ModelError


def check_zones(spec: ModelSpec) -> None:
    """Check that this machine knows the time zones of a model's features.

    Raises:
        ModelError: It does not know one.
    """
    for feature in spec.features:
        zone = feature_type(feature.type).zone
        try:
            pa.lib.string_to_tzinfo(zone or "UTC")
        except (pa.ArrowException, LookupError, ValueError) as error:
            raise ModelError(
                f"model {spec.model_id!r}: its feature {feature.name!r} has the type {feature.type}, whose time zone "
                "is unknown: name a zone of the IANA database, such as Europe/Berlin, in the record"
            ) from error


def time_notes(spec: ModelSpec, dtype: npt.DTypeLike) -> tuple[str, ...]:
    """Return a note if times of today have too many digits for a model's numbers.

    The model's library rounds them in the same way when it is trained on such numbers.
    """
    found: np.dtype[Any] = np.dtype(dtype)
    if found.kind != "f" or found.itemsize > 8:
        return ()
    kinds = {feature.name: feature_type(feature.type) for feature in spec.features}
    times = {name: kind for name, kind in kinds.items() if kind.kind == "timestamp"}
    if found.itemsize == 8:
        names, apart = [name for name, kind in times.items() if kind.unit == "ns"], "256 nanoseconds"
    else:
        names, apart = list(times), "two minutes"
    if not names:
        return ()
    return (f"reads the times {names} as {found} numbers, in which times less than about {apart} apart are equal",)
