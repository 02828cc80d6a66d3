"""scikit-learn estimators and pipelines that skops saved: a format that runs no code of the artifact.

A skops file names the types that it holds. Those that skops knows are built; any other is refused unless the model's
record names it, because building it may run code.
"""

from pathlib import Path

import skops.io

from contract.spec import ModelSpec
from scoring.errors import ModelError
from scoring.models.sklearn_joblib import SklearnModel

_HARMLESS = frozenset({"numpy.dtype"})
"""Which skops asks about although it only reads the type of an empty array. Every SimpleImputer has one."""


def load(spec: ModelSpec, path: Path) -> SklearnModel:
    unknown = skops.io.get_untrusted_types(file=path)
    untrusted = sorted(set(unknown) - set(spec.trusted_types) - _HARMLESS)
    if untrusted:
        raise ModelError(
            f"model {spec.model_id!r}: {spec.model_file!r} holds types that skops does not trust: {untrusted}: look at "
            "what they are, then name them in trusted_types in the model's record, or build the model without them"
        )
    # Only what is in the file: skops refuses to be told of others.
    return SklearnModel(spec, skops.io.load(path, trusted=unknown))
