"""Model specs of tests that need no real artifact."""

from typing import Any

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec


def any_spec(*features: Feature, **fields: Any) -> ModelSpec:
    """Return the spec of an XGBoost model with these features; `fields` replace the defaults."""
    defaults = {
        "model_id": "model",
        "version": "v1",
        "artifact_sha256": "0" * 64,
        "artifact_bytes": 1,
        "framework": "xgboost",
        "format": "xgboost-json",
        "model_file": "model.json",
        "method": "predict",
    }
    return ModelSpec(features=features, **{**defaults, **fields})
