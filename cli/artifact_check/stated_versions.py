"""Reads the versions and classes that a model's file states, without running the model."""

import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from cli.artifact_check.pickles import read_pickle
from contract.catalog.model_formats import ModelFormat
from contract.json_text import parse_json

_TAIL_BYTES = 128
_MAX_JSON_BYTES = 64 << 20
_MAX_SEARCHED_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 256


@dataclass
class Stated:
    """The versions and classes that a file states, by the names of libraries and modules."""

    versions: dict[str, set[str]] = field(default_factory=dict)
    globals: dict[str, set[str]] = field(default_factory=dict)
    """Names of classes and functions that loading needs, by module."""
    complete: bool = True
    """Whether the whole file was read."""
    compression: str = ""


def read_stated(declared: ModelFormat, file: BinaryIO) -> Stated:
    """Return what a file of this format states; nothing if it is damaged or of another format."""
    reader = _READERS.get(declared)
    if reader is None:
        return Stated()
    file.seek(0)
    try:
        return reader(file)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, KeyError, struct.error, RecursionError):
        return Stated(complete=False)


def _read_pickle(file: BinaryIO) -> Stated:
    found = read_pickle(file)
    if not found.is_pickle:
        return Stated(complete=False, compression=found.compression)
    return Stated(found.versions, found.globals, found.complete, found.compression)


def _read_skops(file: BinaryIO) -> Stated:
    schema = _member(file, "schema.json")
    stated = Stated()
    for version in re.findall(r'"_sklearn_version":\s*\{[^{}]{0,300}?"content":\s*"\\"([^"\\]{1,40})\\""', schema):
        stated.versions.setdefault("scikit-learn", set()).add(version)
    for name, module in re.findall(r'"__class__":\s*"([^"\\]{1,200})",\s*"__module__":\s*"([^"\\]{1,200})"', schema):
        stated.globals.setdefault(module, set()).add(name)
    return stated


def _read_xgboost_json(file: BinaryIO) -> Stated:
    match = re.search(rb'"version"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]\s*\}\s*$', _tail(file))
    return _xgboost([int(part) for part in match.groups()] if match else [])


def _read_xgboost_ubj(file: BinaryIO) -> Stated:
    tail = _tail(file)
    _, found, numbers = tail.rpartition(b"version[#L\0\0\0\0\0\0\0\3")
    parts: list[int] = []
    formats = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}
    while found and len(parts) < 3:
        kind = formats[numbers[:1]]
        parts.append(struct.unpack_from(kind, numbers, 1)[0])
        numbers = numbers[1 + struct.calcsize(kind) :]
    return _xgboost(parts)


def _xgboost(parts: list[int]) -> Stated:
    return Stated({"XGBoost": {".".join(map(str, parts))}} if len(parts) == 3 and min(parts) >= 0 else {})


def _read_catboost(file: BinaryIO) -> Stated:
    before = b""
    for _ in range(_MAX_SEARCHED_BYTES // _CHUNK_BYTES):
        chunk = file.read(_CHUNK_BYTES)
        match = re.search(rb"CatBoost release (\d+(?:\.\d+){1,3})\b", before + chunk)
        if match:
            return Stated({"CatBoost": {match[1].decode()}})
        if not chunk:
            break
        before = chunk[-_OVERLAP_BYTES:]
    return Stated()


def _read_keras(file: BinaryIO) -> Stated:
    described = parse_json(_member(file, "metadata.json"))
    version = described.get("keras_version") if isinstance(described, dict) else None
    return Stated({"Keras": {version}} if isinstance(version, str) and len(version) < 40 else {})


def _member(file: BinaryIO, name: str) -> str:
    with zipfile.ZipFile(file) as archive, archive.open(name) as member:
        return member.read(_MAX_JSON_BYTES).decode("utf-8", "replace")


def _tail(file: BinaryIO) -> bytes:
    size = file.seek(0, 2)
    file.seek(max(0, size - _TAIL_BYTES))
    return file.read()


_READERS: dict[ModelFormat, Callable[[BinaryIO], Stated]] = {
    "sklearn-joblib": _read_pickle,
    "sklearn-skops": _read_skops,
    "xgboost-json": _read_xgboost_json,
    "xgboost-sklearn-json": _read_xgboost_json,
    "xgboost-ubj": _read_xgboost_ubj,
    "xgboost-sklearn-ubj": _read_xgboost_ubj,
    "catboost-cbm": _read_catboost,
    "keras": _read_keras,
}
"""Readers by format.

LightGBM's text states no version of the library; ONNX's runtime checks its operators.
"""
