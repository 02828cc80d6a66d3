"""Compatibility of models with library versions: one rule for registration and jobs."""

import re
from collections.abc import Mapping

from contract.catalog.model_formats import Framework

LIBRARY_NAMES: Mapping[Framework, str] = {
    "sklearn": "scikit-learn",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
    "tensorflow": "TensorFlow",
    "pytorch": "PyTorch",
}
"""Names of the libraries whose versions can be compared.

ONNX is missing: the runtime checks the operator versions that the file names.
"""

_PICKLED: frozenset[Framework] = frozenset({"sklearn"})
"""Frameworks whose models are pickled objects.

scikit-learn supports only the version that pickled a model, and warns about any other. The files of
the other frameworks can be read by every later version, but not always by an earlier one.
"""


def refusal_of(framework: Framework, trained: str, installed: str) -> str:
    """Return why a library does not read models of another version; empty if it may.

    >>> refusal_of("xgboost", "3.2.0", "2.1.0")
    'XGBoost reads files of earlier versions, not of later'
    """
    theirs, ours = version_numbers(trained), version_numbers(installed)
    if not theirs or not ours or framework not in LIBRARY_NAMES:
        return ""
    pickled = framework in _PICKLED
    if theirs[0] <= ours[0] and not (pickled and theirs[0] != ours[0]):
        return ""
    why = "guarantees nothing across major versions" if pickled else "reads files of earlier versions, not of later"
    return f"{LIBRARY_NAMES[framework]} {why}"


def note_of(framework: Framework, trained: str, installed: str) -> str:
    """Return a note if a library may predict differently than the trainer's; else empty.

    >>> note_of("sklearn", "1.2", "1.9.1")
    'trained with scikit-learn 1.2, scored with 1.9.1'
    """
    theirs, ours = version_numbers(trained), version_numbers(installed)
    if not theirs or not ours or framework not in LIBRARY_NAMES:
        return ""
    if theirs == ours[: len(theirs)] or (framework not in _PICKLED and theirs <= ours):
        return ""
    return f"trained with {LIBRARY_NAMES[framework]} {trained}, scored with {installed}"


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version.

    >>> version_numbers("1.2-1")
    (1, 2)
    """
    match = re.match(r"\d{1,9}(?:\.\d{1,9})*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
