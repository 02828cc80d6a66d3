"""Scores with an artifact's `code/inference.py`, if the model's record allows it.

The code may define any of `model_fn`, `input_fn`, `predict_fn` and `output_fn`; the missing steps
are done as for any other model. docs/learn/custom-code.md describes their arguments.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

# First, because the wrappers of XGBoost and LightGBM, which custom code is likely to use, work only
# if scikit-learn was imported before them (see lazy_imports).
import sklearn.base  # noqa: F401

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import output_fields
from scoring.errors import ModelError, describe_error, text_of
from scoring.models import loader_of
from scoring.models.custom_code import CODE_FILE, archive_root
from scoring.models.custom_code.custom_module import CustomModule, import_custom_module
from scoring.models.custom_code.payloads import read_response, write_request


def load(spec: ModelSpec, path: Path) -> "CustomModel":
    root = archive_root(spec, path)
    if not (root / CODE_FILE).is_file():
        raise ModelError(
            f"model {spec.model_id!r}: its record sets custom_code, but its artifact has no {CODE_FILE}: add the file, "
            "or set custom_code to false"
        )
    code = import_custom_module(spec, root)
    if code.model_fn is not None:
        try:
            model = code.model_fn(str(root))
        # BaseException: the code may even call sys.exit.
        except BaseException as error:
            raise ModelError(
                f"model {spec.model_id!r}: the model_fn of its {CODE_FILE} failed ({describe_error(error)}: "
                f"{text_of(error)}): correct it; it can use the unpacked artifact and the image's packages, but no "
                "network"
            ) from error
        return CustomModel(spec, code, model)
    if spec.format == "custom":
        raise ModelError(
            f"model {spec.model_id!r}: its {CODE_FILE} has no model_fn, and format 'custom' has no other way to load "
            "it: write model_fn(model_dir), or declare the format that its file has"
        )
    loaded = loader_of(spec.format).load(spec, path)
    if loaded.native is None:
        raise ModelError(
            f"model {spec.model_id!r}: its {CODE_FILE} has no model_fn, which custom code for format {spec.format!r} "
            "needs: write model_fn(model_dir)"
        )
    return CustomModel(spec, code, loaded.native)


class CustomModel:
    """Predicts with the functions of the artifact's code."""

    concurrent = False
    """Unknown code may not be thread-safe."""

    def __init__(self, spec: ModelSpec, code: CustomModule, model: Any) -> None:
        self.native = model
        self._spec = spec
        self._code = code
        if code.predict_fn is None and not callable(getattr(model, spec.method, None)):
            raise ModelError(
                f"model {spec.model_id!r}: its model_fn returned an instance of {type(model).__name__}, which has no "
                f"{spec.method}: write predict_fn, or choose another method in the record"
            )
        # From the record, because an object without rows needs the columns too.
        self.outputs = output_fields(spec, [pa.float64()] * max(1, len(spec.output_columns)), None)
        used = ", ".join(code.found)
        self.notes: tuple[str, ...] = (f"predicted by {used} of the artifact's own {CODE_FILE}",)

    def predict(self, batch: FeatureBatch) -> Any:
        spec, code = self._spec, self._code
        if code.input_fn is not None:
            data = code.input_fn(write_request(batch, spec.content_type), spec.content_type)
        else:
            data = batch.frame()
        if code.predict_fn is not None:
            prediction = code.predict_fn(data, self.native)
        else:
            prediction = getattr(self.native, spec.method)(data)
        if code.output_fn is not None:
            prediction = code.output_fn(prediction, spec.accept)
        return read_response(prediction, spec.accept, batch.rows, len(self.outputs))
