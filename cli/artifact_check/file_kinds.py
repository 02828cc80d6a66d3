"""Recognizes kinds of model files by their first bytes, or by the members of a zip."""

import re
import zipfile
from typing import BinaryIO

from cli.artifact_check.pickles import compression_of
from contract.catalog.model_formats import ModelFormat

HEAD_BYTES = 512
_MAX_ZIP_NAMES = 10_000

PICKLE = "a pickle, as joblib and pickle write it"
COMPRESSED = "a compressed file"
SKOPS = "a skops file"
XGBOOST_JSON = "JSON, as XGBoost's save_model writes it"
XGBOOST_UBJ = "UBJSON, as XGBoost's save_model writes it"
XGBOOST_LEGACY = "XGBoost's old binary format"
LIGHTGBM_TEXT = "LightGBM's text format"
CATBOOST_CBM = "CatBoost's cbm format"
KERAS = "a .keras file"
KERAS_H5 = "HDF5, the old format of Keras (.h5)"
PYTORCH = "a zip of PyTorch"

_PYTORCH_MEMBER = re.compile(r"(^|/)(data\.pkl|constants\.pkl|archive_format|serialized_exported_program\.json)$")

_EXPECTED: dict[ModelFormat, frozenset[str]] = {
    "sklearn-joblib": frozenset({PICKLE, COMPRESSED}),
    "sklearn-skops": frozenset({SKOPS}),
    "xgboost-json": frozenset({XGBOOST_JSON}),
    "xgboost-sklearn-json": frozenset({XGBOOST_JSON}),
    "xgboost-ubj": frozenset({XGBOOST_UBJ}),
    "xgboost-sklearn-ubj": frozenset({XGBOOST_UBJ}),
    "lightgbm-text": frozenset({LIGHTGBM_TEXT}),
    "catboost-cbm": frozenset({CATBOOST_CBM}),
    "keras": frozenset({KERAS}),
    "onnx": frozenset(),
    "pytorch-export": frozenset({PYTORCH}),
    "torchscript": frozenset({PYTORCH}),
}
"""Recognized kinds that each format accepts. Files of no recognized kind are left to the job."""

_REMEDIES = {
    PICKLE: (
        "Declare the format sklearn-joblib if it holds a scikit-learn model or a wrapper such as XGBClassifier; "
        "save others with their library's save_model, and pack that file."
    ),
    KERAS_H5: "Load it in Keras, save it as model.keras, and register that file with format keras.",
    COMPRESSED: "Pack the file as the library wrote it: model.tar.gz is compressed already.",
    XGBOOST_LEGACY: "Load it in the XGBoost that wrote it, save it as model.ubj, and register that file.",
}
_FORMATS = {
    SKOPS: "sklearn-skops",
    XGBOOST_JSON: "xgboost-json or xgboost-sklearn-json",
    XGBOOST_UBJ: "xgboost-ubj or xgboost-sklearn-ubj",
    LIGHTGBM_TEXT: "lightgbm-text",
    CATBOOST_CBM: "catboost-cbm",
    KERAS: "keras",
    PYTORCH: "pytorch-export or torchscript",
}


def kind_of(file: BinaryIO) -> str:
    """Return the kind of a model's file; empty if it is not recognized."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(file)
    found = next((kind for pattern, kind in _HEADS if pattern.match(head)), "")
    return found or (COMPRESSED if compression_of(head) else "")


_HEADS = [
    (re.compile(pattern), kind)
    for pattern, kind in (
        (rb"CBM1", CATBOOST_CBM),
        (rb"\x89HDF\r\n\x1a\n", KERAS_H5),
        (rb"tree\r?\n", LIGHTGBM_TEXT),
        (rb"binf", XGBOOST_LEGACY),
        (rb'\{\s*"(learner|version)"', XGBOOST_JSON),
        (rb"\{[iULl][\0-\x20]{1,8}(learner|version)", XGBOOST_UBJ),
        (rb"\x80[\x02-\x05]", PICKLE),
    )
]


def _kind_of_zip(file: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist()[:_MAX_ZIP_NAMES])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return ""
    if {"config.json", "metadata.json"} <= names:
        return KERAS
    if "schema.json" in names:
        return SKOPS
    return PYTORCH if any(map(_PYTORCH_MEMBER.search, names)) else ""


def is_accepted(declared: ModelFormat, kind: str) -> bool:
    """Return whether files of this kind may have the declared format."""
    return not kind or kind in _EXPECTED.get(declared, frozenset({kind}))


def remedy_of(kind: str) -> str:
    """Return the remedy for a file that is not of the declared format."""
    return _REMEDIES.get(kind) or f"Declare the format {_FORMATS[kind]}, or pack the file of the declared format."
