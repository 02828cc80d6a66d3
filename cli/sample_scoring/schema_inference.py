"""Inference of a model's features: names from its artifact, types from a sample."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.sample_scoring import sample
from cli.sample_scoring.artifact_process import read_artifact
from cli.sample_scoring.sample import SampleColumn
from contract.catalog.model_fields import Feature
from contract.catalog.model_formats import ModelFormat
from contract.dataset.feature_types import FEATURE_TYPES_TEXT, feature_type, parse_feature_type
from contract.dataset.input_options import InputOptions
from contract.problems import InvalidInputError, Problem

_READ_AS = {
    **dict.fromkeys(("large_string", "string_view", "binary", "large_binary", "binary_view"), "string"),
    "halffloat": "float",
    "date64[ms]": "date32[day]",
}
"""Types of features, by the types of sample columns that have the same values."""
_LIST = re.compile(r"list<(\w+)>\[(\d+)\]")
_FLOATS = ("halffloat", "float", "double")
_SHOWN_NAMES = 20


@dataclass(frozen=True)
class InferredFeature:
    """A feature, and the number of nulls in its column of the sample."""

    feature: Feature
    nulls: int


def infer_features(
    artifact: Path,
    declared: ModelFormat,
    model_file: str,
    path: Path,
    key_columns: Sequence[str],
    *,
    read_as: InputOptions | None = None,
) -> list[InferredFeature]:
    """Return the features: names from the artifact, types and nullability from the sample.

    Loading the artifact runs its code, so a separate process without credentials does it. If the
    artifact has no feature names, the features are all columns of the sample except the keys, if
    their number matches.

    Raises:
        InvalidInputError: with every problem of artifact and sample.
    """
    columns = sample.read_columns(path, read_as or InputOptions())
    names = _names(_read_feature_names(artifact, declared, model_file), columns, key_columns, path)
    if declared == "lightgbm-text":
        names = _with_blanks(names, columns)
    return _combine(names, columns, path)


def _read_feature_names(artifact: Path, declared: ModelFormat, model_file: str) -> dict[str, Any]:
    """Return `names` and `count` of the artifact's features, each None if the artifact lacks it."""
    found = read_artifact(artifact, declared, model_file)
    if "error" in found:
        expected = f"a file that can be loaded as {declared} ({found['error']})"
        raise InvalidInputError("model", [Problem("model_file", model_file, expected)])
    return found


def _names(
    trained: dict[str, Any], columns: Sequence[SampleColumn], key_columns: Sequence[str], path: Path
) -> list[str]:
    if trained["names"] is not None:
        return list(trained["names"])
    names = [column.name for column in columns if column.name not in key_columns]
    kinds = [feature_type_of(column.type) for column in columns if column.name not in key_columns]
    # A list is as many inputs as it has values.
    if trained["count"] != sum(feature_type(kind).length if parse_feature_type(kind) else 1 for kind in kinds):
        wanted = "an unknown number of" if trained["count"] is None else f"{trained['count']:,}"
        remedy = "Add --features, or leave the other columns out of the sample, or name them in --key-columns."
        found = f"{path.name} with {len(names):,} columns besides the key columns: {_listed(names)}"
        expected = f"{wanted} columns, because the artifact has no feature names"
        raise InvalidInputError("sample", [Problem("--infer-schema", found, expected, remedy)])
    return names


def _with_blanks(names: Sequence[str], columns: Sequence[SampleColumn]) -> list[str]:
    """Restore the sample's names where LightGBM has replaced blanks with underscores."""
    known = {column.name for column in columns}
    blank: dict[str, list[str]] = {}
    for name in known:
        blank.setdefault(name.replace(" ", "_"), []).append(name)
    return [blank[name][0] if name not in known and len(blank.get(name, ())) == 1 else name for name in names]


def _combine(names: Sequence[str], columns: Sequence[SampleColumn], path: Path) -> list[InferredFeature]:
    by_name = {column.name: column for column in columns}
    problems: list[Problem] = []
    missing = [name for name in names if name not in by_name]
    if missing:
        found = f"{path.name} without {_listed(missing)}"
        remedy = f"It has: {_listed(list(by_name))}. Use a sample of the data that the model will score."
        problems.append(Problem("--infer-schema", found, "a sample with every feature of the artifact", remedy))
    inferred: list[InferredFeature] = []
    for name in names:
        column = by_name.get(name)
        if column is None:
            continue
        kind = feature_type_of(column.type)
        if parse_feature_type(kind) is None:
            expected = f"a column of a type that features can have: {FEATURE_TYPES_TEXT}"
            problems.append(Problem(f"--infer-schema: column {name}", column.type, expected))
        else:
            inferred.append(InferredFeature(Feature(name, kind, column.nullable), column.nulls))
    if problems:
        raise InvalidInputError("sample", problems)
    return inferred


def feature_type_of(column_type: str) -> str:
    """Return the type of a feature that is read from a sample's column; other types are unchanged.

    >>> [feature_type_of(found) for found in ("decimal128(9, 2)", "list<int64>[3]", "time32[ms]")]
    ['double', 'list<double>[3]', 'time32[ms]']
    """
    if column_type.startswith("decimal"):
        return "double"
    if match := _LIST.fullmatch(column_type):
        item = "float" if match[1] in ("float", "halffloat") else "double"
        return f"list<{item}>[{match[2]}]" if "int" in match[1] or match[1] in _FLOATS else column_type
    return _READ_AS.get(column_type, column_type)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_NAMES])
    return shown if len(names) <= _SHOWN_NAMES else f"{shown} and {len(names) - _SHOWN_NAMES:,} more"
