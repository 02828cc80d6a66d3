"""Custom code of an artifact: `code/inference.py`, by SageMaker's convention, where the model's record allows it.

Any of `model_fn`, `input_fn`, `predict_fn` and `output_fn` may be there; what is not there is done as for every other
model. docs/learn/custom-code.md says what each of them gets.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

# First of all: XGBoost and LightGBM are imported without scikit-learn where it is not there yet, and then their
# wrappers, which custom code is likely to use, do not work.
import sklearn.base  # noqa: F401

from contract.catalog.model_spec import ModelSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import output_fields
from scoring.errors import ModelError
from scoring.models import loader_of
from scoring.models.custom_code.archived_code import CODE_FILE, archive_root
from scoring.models.custom_code.custom_module import CustomModule, import_custom_module
from scoring.models.custom_code.payloads import read_answer, write_request


def load(spec: ModelSpec, path: Path) -> "CustomModel":
    root = archive_root(spec, path)
    if not (root / CODE_FILE).is_file():
        raise ModelError(
            f"model {spec.model_id!r}: its record sets custom_code, but its artifact has no {CODE_FILE}: add the file, "
            "or set custom_code to false"
        )
    code = import_custom_module(spec, root)
    if code.model_fn is not None:
        return CustomModel(spec, code, code.model_fn(str(root)))
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
    """The steps of the artifact's own code, one after the other."""

    concurrent = False
    """Nobody said that this code may run in several threads at once."""

    def __init__(self, spec: ModelSpec, code: CustomModule, model: Any) -> None:
        self.native = model
        self._spec = spec
        self._code = code
        if code.predict_fn is None and not callable(getattr(model, spec.method, None)):
            raise ModelError(
                f"model {spec.model_id!r}: what its model_fn gave, a {type(model).__name__}, has no {spec.method}: "
                "write predict_fn, or choose another method in the record"
            )
        names = spec.output_types or ("double",) * max(1, len(spec.output_columns))
        types = [pa.float64() if name == "double" else pa.type_for_alias(name) for name in names]
        # Only the record can say what unknown code predicts, and an object without rows has the same columns.
        self.outputs = output_fields(spec, types, None)
        used = ", ".join(code.found)
        self.notes: tuple[str, ...] = (f"predicted by {used} of the artifact's own {CODE_FILE}",)

    def predict(self, batch: FeatureBatch) -> Any:
        spec, code = self._spec, self._code
        data = batch.frame()
        if code.input_fn is not None:
            data = code.input_fn(write_request(data, spec.content_type), spec.content_type)
        if code.predict_fn is not None:
            prediction = code.predict_fn(data, self.native)
        else:
            prediction = getattr(self.native, spec.method)(data)
        if code.output_fn is not None:
            prediction = code.output_fn(prediction, spec.accept)
        return read_answer(prediction, spec.accept, batch.rows, len(self.outputs))
