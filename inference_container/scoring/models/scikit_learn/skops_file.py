"""scikit-learn estimators and pipelines that skops saved: a format that runs no code of the artifact.

A skops file names the types that it holds. Those that skops knows are built; any other is refused unless the model's
record names it, because building it may run code.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import skops.io

from contract.catalog.model_spec import ModelSpec
from scoring.errors import ModelError
from scoring.models.scikit_learn.joblib_file import SklearnModel

_HARMLESS = frozenset({"numpy.dtype"})
"""Which skops asks about although it only reads the type of an empty array. Every SimpleImputer has one."""


def load(spec: ModelSpec, path: Path) -> SklearnModel:
    if untrusted := untrusted_types(path, spec.trusted_types):
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} holds types that skops does not trust: {untrusted}: look at "
            "what they are, then name them in trusted_types in the model's record, or build the model without them"
        )
    return SklearnModel(spec, read(path))


def untrusted_types(path: Path, trusted: Collection[str]) -> list[str]:
    """Types of a file that neither skops nor the record trusts."""
    return sorted(set(skops.io.get_untrusted_types(file=path)) - set(trusted) - _HARMLESS)


def read(path: Path) -> Any:
    """Build what a file holds, once it is clear that each of its types is trusted."""
    return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
