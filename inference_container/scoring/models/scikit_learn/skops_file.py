"""Loads scikit-learn estimators and pipelines saved by skops, without running code of the artifact.

A skops file names the types that it holds. Types unknown to skops are refused unless the model's
record trusts them, because constructing them may run code.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import skops.io

from contract.catalog.model_spec import ModelSpec
from scoring.errors import ModelError
from scoring.models import LoadedModel
from scoring.models.scikit_learn.joblib_file import model_of

_HARMLESS = frozenset({"numpy.dtype"})
"""Types that skops does not trust although they run no code.

Every SimpleImputer holds a numpy.dtype.
"""


def load(spec: ModelSpec, path: Path) -> LoadedModel:
    if untrusted := untrusted_types(path, spec.trusted_types):
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} holds types that skops does not trust: {untrusted}: check "
            "what they do, then name them in trusted_types in the model's record, or build the model without them"
        )
    return model_of(spec, read(path))


def untrusted_types(path: Path, trusted: Collection[str]) -> list[str]:
    """Return the types in a file that neither skops nor the record trusts."""
    return sorted(set(skops.io.get_untrusted_types(file=path)) - set(trusted) - _HARMLESS)


def read(path: Path) -> Any:
    """Load a file, whose types the caller has checked with `untrusted_types`."""
    return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
