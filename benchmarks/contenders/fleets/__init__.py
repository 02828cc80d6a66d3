"""The contenders for fleets: each row is scored by the model that its `route` names.

They write Parquet below `OUTPUT/fleet/`, with all columns of the input and `prediction`.
"""

import functools
from typing import Any

import joblib


@functools.cache
def load_model(root: str, route: str) -> Any:
    """Return the model of a route. A process loads it once."""
    return joblib.load(f"{root}/trained/{route}/model.joblib")
