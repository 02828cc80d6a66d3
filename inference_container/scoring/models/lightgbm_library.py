"""LightGBM, imported without scikit-learn where no other model of the job needs it."""

import sys
from typing import Any


def _import_lightgbm() -> Any:
    # lightgbm/compat.py imports scikit-learn whenever it is installed, two thirds of the import time, for wrappers
    # that scoring does not use. A None entry makes that import fail, which LightGBM provides for. pandas is left
    # alone: models that were trained on categories of pandas need it.
    blocked = "sklearn" not in sys.modules
    if blocked:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        import lightgbm  # noqa: PLC0415 - the import above all is what this function is about
    finally:
        if blocked:
            del sys.modules["sklearn"]
    return lightgbm


lightgbm = _import_lightgbm()
