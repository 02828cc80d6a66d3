"""Frameworks, file formats and prediction methods that the container knows."""

from typing import Literal

Framework = Literal[
    "sklearn",
    "xgboost",
    "lightgbm",
    "catboost",
    "onnx",
    "tensorflow",
    "pytorch",
    "custom",
]


ModelFormat = Literal[
    "sklearn-joblib",
    "sklearn-skops",
    "xgboost-json",
    "xgboost-ubj",
    "xgboost-sklearn-json",
    "xgboost-sklearn-ubj",
    "lightgbm-text",
    "catboost-cbm",
    "onnx",
    "custom",
    "tensorflow-savedmodel",
    "keras",
    "pytorch-export",
    "torchscript",
]


Method = Literal["predict", "predict_proba", "decision_function", "margin"]


OutputFormat = Literal["parquet", "csv", "jsonl"]


FRAMEWORK_OF_FORMAT: dict[str, Framework] = {
    "sklearn-joblib": "sklearn",
    "sklearn-skops": "sklearn",
    "xgboost-json": "xgboost",
    "xgboost-ubj": "xgboost",
    "xgboost-sklearn-json": "xgboost",
    "xgboost-sklearn-ubj": "xgboost",
    "lightgbm-text": "lightgbm",
    "catboost-cbm": "catboost",
    "onnx": "onnx",
    "tensorflow-savedmodel": "tensorflow",
    "keras": "tensorflow",
    "pytorch-export": "pytorch",
    "torchscript": "pytorch",
    "custom": "custom",
}
"""Framework that loads each format.

`xgboost-*` are Booster files, `xgboost-sklearn-*` the same files saved by XGBClassifier or
XGBRegressor. `custom` is any file that the archive's own `code/inference.py` loads.
`image_variants.py` says which image serves a framework.
"""


METHODS_OF_FORMAT: dict[str, frozenset[str]] = {
    "sklearn-joblib": frozenset({"predict", "predict_proba", "decision_function"}),
    "sklearn-skops": frozenset({"predict", "predict_proba", "decision_function"}),
    "xgboost-json": frozenset({"predict", "margin"}),
    "xgboost-ubj": frozenset({"predict", "margin"}),
    "xgboost-sklearn-json": frozenset({"predict", "predict_proba", "margin"}),
    "xgboost-sklearn-ubj": frozenset({"predict", "predict_proba", "margin"}),
    "lightgbm-text": frozenset({"predict", "predict_proba", "margin"}),
    "catboost-cbm": frozenset({"predict", "predict_proba", "margin"}),
    "onnx": frozenset({"predict"}),
    "custom": frozenset({"predict"}),
    "tensorflow-savedmodel": frozenset({"predict"}),
    "keras": frozenset({"predict"}),
    "pytorch-export": frozenset({"predict"}),
    "torchscript": frozenset({"predict"}),
}


MISSING_FORMATS: frozenset[str] = frozenset(name for name in METHODS_OF_FORMAT if name.startswith("xgboost-"))
"""Formats whose files do not hold the number that the model takes as missing."""


ACCELERATED_FRAMEWORKS: frozenset[Framework] = frozenset({"xgboost", "lightgbm"})
"""Frameworks whose trees an accelerator can predict."""


CustomContentType = Literal["text/csv", "application/json", "application/x-npy"]


CustomAccept = Literal["application/json", "text/csv", "application/x-npy"]


Accelerator = Literal["", "daal4py"]
