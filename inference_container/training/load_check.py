"""Checks that scoring can load a trained model and predict with it, before it is registered."""

from pathlib import Path

import pyarrow as pa

from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT
from contract.catalog.model_spec import ModelSpec
from contract.training.training_spec import TrainingSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import complete_columns
from scoring.errors import IN_LOG, ModelError, ScoringError, describe_error
from scoring.models import load_model


def model_spec_of(spec: TrainingSpec) -> ModelSpec:
    """Return the model's spec as scoring will get it, with a placeholder for the artifact."""
    return ModelSpec(
        model_id=spec.model_id,
        version=spec.version,
        artifact_sha256="0" * 64,
        artifact_bytes=0,
        framework=FRAMEWORK_OF_FORMAT[spec.format],
        format=spec.format,
        model_file=spec.model_file,
        method=spec.method,
        features=spec.features,
        output_columns=spec.output_columns,
        missing=spec.missing,
    )


def check_model(record: ModelSpec, path: Path, sample: FeatureBatch | None) -> tuple[str, ...]:
    """Load a model file with scoring's loader, predict a sample, and return the prediction columns.

    Raises:
        ModelError, ConfigurationError: with the message that scoring would give.
    """
    model = load_model(record, path)
    fields: tuple[pa.Field, ...] = model.outputs
    if sample is not None:
        try:
            complete_columns(record, fields, model.predict(sample), sample.rows, 0)
        except ScoringError:
            raise
        except Exception as error:
            raise ModelError(
                f"the trained model cannot predict the rows it was trained on ({describe_error(error)}; {IN_LOG})"
            ) from error
    return tuple(field.name for field in fields)
