"""Tree libraries, imported without scikit-learn where no other model of the job needs it."""

import importlib
import sys
from typing import Any


def import_without_sklearn(name: str) -> Any:
    """XGBoost or LightGBM by name.

    The compat.py of each imports scikit-learn (and XGBoost's pandas with it) whenever it is installed, two thirds of
    the import time and more, for wrappers that scoring does not use. A None entry makes that import fail, which both
    provide for. Where a model of the job needs scikit-learn, it is there already. pandas is left alone: LightGBM needs
    it for models that were trained on its categories.
    """
    blocked = "sklearn" not in sys.modules
    if blocked:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    finally:
        if blocked:
            del sys.modules["sklearn"]
