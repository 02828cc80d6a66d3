"""Checks of a model in both plans: the columns of its dataset, and the image that it needs."""

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import quote

from contract.catalog.image_variants import ImageVariant, image_of
from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import ModelVersion
from contract.dataset.columns import is_readable_as, may_be_absent, similar_name
from contract.problems import Problem
from lambdas.dataset.parquet_footer import Column
from lambdas.shown_text import list_first

_NO_HEADER = (
    "If the object is CSV without a header, register the model with --no-csv-header and the columns in order "
    "(--csv-columns). "
)
_ONE_CELL = "The first line is one cell, so set input.csv_delimiter if another character separates the columns. "


def check_images(versions: Sequence[ModelVersion], deployed: Collection[ImageVariant]) -> list[Problem]:
    """Return the problems of models whose framework is not in a deployed image: their jobs would
    fail.
    """
    problems: list[Problem] = []
    for version in versions:
        image = image_of(version.spec.framework, version.spec.accelerator)
        if image not in deployed:
            # An accelerator may need another image than the framework does.
            kind = "framework" if image == image_of(version.spec.framework) else "accelerator"
            expected = f"one that the deployed images have ({', '.join(deployed)}); the image {image!r} has it"
            remedy = f"Add {image!r} to the setting image_variants and deploy again, or disable the model."
            field = f"model {version.spec.model_id!r}: {kind}"
            problems.append(Problem(field, getattr(version.spec, kind), expected, remedy))
    return problems


def check_columns(
    version: ModelVersion, name: str, key: str, columns: Sequence[Column], alternative: str = "register a version"
) -> list[Problem]:
    """Return a problem per kind of missing or unsuitable column that a model needs in an object.

    `name` says in messages what reads which dataset, and `alternative` is the action that changes the
    columns which the model needs.
    """
    spec = version.spec
    field = f"{name}: features"
    # A duplicate column needs no check here: the job refuses it.
    types = {column.name: column.type for column in columns}
    needed = [(feature.name, feature.type) for feature in spec.features]
    needed += [(name, "key column") for name in spec.key_columns if name not in {feature for feature, _ in needed}]
    problems: list[Problem] = []
    absent = _absent(spec, columns)
    missing = [f"{name} ({kind})" for name, kind in needed if name not in types and name not in absent]
    if missing:
        found = f"{key} without {list_first(missing)}"
        is_csv = all(column.type is None and not column.is_field for column in columns)
        similar = _similar_names(spec, types)
        has_names = not is_csv or bool(similar) or any(name in types for name, _ in needed)
        expected = "an object with all columns that the model needs"
        if has_names:  # Otherwise they may be cells, and a reason holds no values of the data.
            expected += f"; it has {list_first(list(types)) or 'none'}"
        remedy = "" if has_names else _NO_HEADER
        if remedy and len(types) == 1:
            remedy += _ONE_CELL
        in_key = [name for name, _ in needed if name not in types and f"/{quote(name)}=" in f"/{key}"]
        if in_key:
            remedy = f"The key has {list_first(in_key)}, so add them to partition_columns (--partition-columns). "
        remedy = f"{similar or remedy}Add them to the dataset, or {alternative} for other columns."
        problems.append(Problem(field, found, expected, remedy))
    unsuitable = [
        f"{feature.name} is {types[feature.name]}, not {feature.type}{'' if feature.nullable else ' without nulls'}"
        for feature in spec.features
        if not _fits(feature, types.get(feature.name))
    ]
    if unsuitable:
        found = f"{key} where {list_first(unsuitable)}"
        expected = "types that can be read as the type in the model's record"
        problems.append(Problem(field, found, expected, f"Convert the columns, or {alternative} with their types."))
    return problems


def _fits(feature: Feature, column_type: str | None) -> bool:
    if column_type is None:
        return True
    return is_readable_as(feature.type, column_type) and (feature.nullable or column_type != "null")


def _absent(spec: ModelSpec, columns: Sequence[Column]) -> frozenset[str]:
    """Return the features that JSON Lines may lack."""
    found = [column.name for column in columns]
    if not any(column.is_field for column in columns):
        return frozenset()
    features = [feature.name for feature in spec.features]
    return frozenset(item.name for item in spec.features if may_be_absent(item.name, item.nullable, found, features))


def _similar_names(spec: ModelSpec, types: Mapping[str, str | None]) -> str:
    names = [name for name in (*(f.name for f in spec.features), *spec.key_columns) if name not in types]
    similar = [f"{near} for {name}" for name in names if (near := similar_name(name, types))]
    return f"Column names are case-sensitive; the object has {list_first(similar)}. " if similar else ""
