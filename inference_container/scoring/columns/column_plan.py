"""Decides from an object's schema which columns a model reads and writes."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.routes import SKIP
from contract.dataset.columns import is_readable_as, may_be_absent, similar_name, zone_problem
from contract.job.fleet import MODEL_ID_COLUMN, MODEL_VERSION_COLUMN, FleetSpec
from contract.layout import OUTPUT_PARTITIONS, OutputLayout, is_output_partition
from scoring.columns.arrow_types import arrow_type, plain_type
from scoring.columns.foreign_schemas import update_foreign_schemas
from scoring.errors import ConfigurationError, DataError

_PANDAS_KEY = b"pandas"
_FROM_KEY = b"fleetscore.from_key"
"""Mark in the metadata of a field; outputs do not have it."""
_REMEDIES: dict[OutputLayout, str] = {
    "per_model": "set output_columns or row_number_column in the model's record to other names",
    "joined": "rename the input columns, or score with output_layout 'per_model'",
    "fleet": "rename the input columns, or set columns to 'keys' in the records of the fleet's models",
}
_MAX_SHOWN_PLACES = 5
"""Repeated names in a message, and positions of each."""


@dataclass(frozen=True)
class ColumnPlan:
    """The columns of one object that one model reads and writes."""

    kept: tuple[str, ...]
    """Input columns that the output keeps, in order."""
    schema: pa.Schema
    """Schema of the output: the kept columns unchanged, then the added ones."""
    added: tuple[pa.Field, ...]
    """The predictions, and the row number if the record asks for it."""
    read: frozenset[str]
    """Columns that the model itself needs: its features and keys."""
    may_have_nan: frozenset[str] = frozenset()
    """Features of whole numbers whose column has floating-point numbers."""
    has_key_outside_file: bool = False
    """Whether a key column comes from the object's key and is not in its file."""


def plan_columns(
    key: str,
    spec: ModelSpec,
    outputs: tuple[pa.Field, ...],
    schema: pa.Schema,
    null_counts: Mapping[str, int],
    *,
    absent: frozenset[str] = frozenset(),
    layout: OutputLayout = "per_model",
    fleet: FleetSpec | None = None,
) -> ColumnPlan:
    """Return the columns that a model reads and writes for an object of this schema.

    `null_counts` has the number of nulls per column, where it is known. `absent` are declared
    columns of the schema that the object's beginning lacks; see `may_be_absent`. `layout` is that of
    the output, in which the names of the outputs are. `fleet` is that whose one model `spec` is.

    Raises DataError with all problems of the object, or ConfigurationError if an output column's
    name is already taken.
    """
    features = [feature.name for feature in spec.features]
    present = [name for name in schema.names if name not in absent]
    counts = Counter(present)
    problems = _repeated_names(present, counts, spec)
    problems += [
        f"key column {name!r} is missing: add it to the object or drop it from the record's key_columns"
        for name in spec.key_columns
        if name not in counts
    ]
    types = {field.name: field.type for field in schema if field.name not in absent}
    # What is wrong with single rows is a problem of these rows, if they may be bad or skipped.
    skips = fleet is not None and fleet.unmatched == SKIP
    for feature in spec.features:
        if feature.name in absent and may_be_absent(feature.name, feature.nullable, present, features):
            continue
        nulls = 0 if spec.tolerated_quarantine_fraction or skips else null_counts.get(feature.name, 0)
        is_route = fleet is not None and feature.name == fleet.route_by
        problems += _feature_problems(feature, types, nulls, is_route=is_route, skips=skips)
    if problems:
        kind = "model" if fleet is None else "fleet"
        raise DataError(f"object {key!r} does not suit {kind} {spec.model_id!r}: " + "; ".join(problems))
    # The output's key contains its values too, so only key columns repeat them.
    passed = tuple(
        field.name
        for field in schema
        # Absent columns of other models of the job are not this model's.
        if (not is_from_key(field) or field.name in spec.key_columns)
        and (field.name not in absent or field.name in features)
    )
    kept = passed if spec.columns == "all" else spec.key_columns
    added = outputs
    if spec.row_number_column:
        added = (*outputs, pa.field(spec.row_number_column, pa.int64(), nullable=False))
    taken = set(kept)
    clashes = [field.name for field in added if field.name in taken]
    if clashes:
        raise ConfigurationError(
            f"object {key!r}, model {spec.model_id!r}: the prediction columns {clashes} are also input columns: "
            f"{_REMEDIES[layout]}"
        )
    if len({field.name for field in added}) != len(added):
        raise ConfigurationError(
            f"model {spec.model_id!r}: row_number_column {spec.row_number_column!r} is a prediction column's name: set "
            "it to another one in the model's record"
        )
    _check_folder_names(key, spec, kept, added, layout)
    fields = [_without_mark(schema.field(name)) for name in kept]
    metadata = extended_metadata(schema.metadata or {}, kept, added)
    output_schema = pa.schema([*fields, *added], metadata=metadata or None)
    read = frozenset(spec.key_columns) | {feature.name for feature in spec.features}
    may_have_nan = frozenset(
        feature.name
        for feature in spec.features
        if feature.name in types
        and pa.types.is_floating(plain_type(types[feature.name]))
        and pa.types.is_integer(arrow_type(feature.type))
    )
    outside = any(is_from_key(field) and field.name in spec.key_columns for field in schema)
    return ColumnPlan(kept, output_schema, added, read, may_have_nan, outside)


def field_from_key(name: str, kind: pa.DataType) -> pa.Field:
    """Return the field of a column that an object's key has and its file has not."""
    return pa.field(name, kind, metadata={_FROM_KEY: b"1"})


def is_from_key(field: pa.Field) -> bool:
    """Return whether only the object's key has this column."""
    return field.metadata is not None and _FROM_KEY in field.metadata


def _without_mark(field: pa.Field) -> pa.Field:
    return field.remove_metadata() if is_from_key(field) else field


def _check_folder_names(
    key: str, spec: ModelSpec, kept: tuple[str, ...], added: tuple[pa.Field, ...], layout: OutputLayout
) -> None:
    """Refuse output columns that readers of the output would also take from its key.

    Training writes no output and adds no column.
    """
    # The key of a fleet's output has no folder with the id of a model.
    of_fleet = {MODEL_ID_COLUMN, MODEL_VERSION_COLUMN} if layout == "fleet" else set()
    folders = {*OUTPUT_PARTITIONS} - of_fleet | {name.lower() for name in spec.partition_columns}
    names = [field.name for field in added if field.name.lower() in folders]
    if names:
        raise ConfigurationError(
            f"object {key!r}, model {spec.model_id!r}: the prediction columns {names} have the names of folders in "
            f"the output's key: {_REMEDIES[layout]}"
        )
    names = [name for name in kept if is_output_partition(name)] if added else []
    if names:
        remedy = "" if set(names) & set(spec.key_columns) else ", or set columns to 'keys' in the model's record"
        raise DataError(
            f"object {key!r}, model {spec.model_id!r}: the output would keep the columns {names}, which are also "
            f"folders in its key ({', '.join(f'{name}=…/' for name in OUTPUT_PARTITIONS)}): rename them{remedy}"
        )


def _repeated_names(names: list[str], counts: Counter[str], spec: ModelSpec) -> list[str]:
    """Return a problem per name that several columns have.

    Only names of the record are shown. Without a header, other names are values of the data.
    """
    known = {*spec.key_columns, *(feature.name for feature in spec.features)}
    problems = []
    for name in sorted(name for name, count in counts.items() if count > 1)[:_MAX_SHOWN_PLACES]:
        places = [str(place) for place, other in enumerate(names, start=1) if other == name][:_MAX_SHOWN_PLACES]
        same = f"column {name!r} appears more than once" if name in known else "columns have the same name"
        problems.append(f"{same} (positions {', '.join(places)})")
    return problems


def _feature_problems(
    feature: Feature, types: Mapping[str, pa.DataType], nulls: int, *, is_route: bool, skips: bool
) -> list[str]:
    column = f"{'route' if is_route else 'feature'} column {feature.name!r}"
    record = "the fleet's record" if is_route else "the record"
    if feature.name not in types:
        near = similar_name(feature.name, types)
        hint = f" (it has {near!r}: names are case-sensitive)" if near else ""
        return [f"{column} of type {feature.type} is missing{hint}: add it to the object or correct {record}"]
    found = types[feature.name]
    if not is_readable(found, feature.type):
        why = zone_problem(feature.type, str(found))
        why = why or f"which cannot hold its values: convert the column or correct {record}"
        return [f"{column} is of type {found}, {record} says {feature.type}, {why}"]
    if not feature.nullable and (nulls or (pa.types.is_null(found) and not skips)):
        count = f"{nulls:,} nulls" if nulls else "nothing but nulls"
        mismatch = f"has {count}, the record says that it has none (nullable: false)"
        return [f"{column} {mismatch}: fill the nulls or correct the record"]
    return []


def is_readable(found: pa.DataType, declared: str) -> bool:
    """Return whether a feature of the declared type can be read from a column of type `found`."""
    return is_readable_as(declared, str(plain_type(found)))


def extended_metadata(
    metadata: Mapping[bytes, bytes], kept: tuple[str, ...], outputs: tuple[pa.Field, ...]
) -> dict[bytes, bytes]:
    """Return the schema's metadata with the descriptions by pandas, Spark and others updated."""
    extended = update_foreign_schemas(metadata, kept, outputs)
    if _PANDAS_KEY not in extended:
        return extended
    try:
        pandas: dict[str, Any] = json.loads(extended[_PANDAS_KEY])
        names = set(kept)
        columns = [item for item in pandas["columns"] if (item["field_name"] or item["name"]) in names]
        index = [item for item in pandas["index_columns"] if not isinstance(item, str) or item in names]
    except (ValueError, KeyError, TypeError, RecursionError):
        # Not pandas' layout. Without this metadata readers use the schema; if it is wrong, they
        # fail.
        del extended[_PANDAS_KEY]
        return extended
    for field in outputs:
        kind = str(field.type)
        pandas_type = {"string": "unicode", "double": "float64", "float": "float32"}.get(kind, kind)
        numpy_type = "object" if kind == "string" else pandas_type
        columns.append(
            {
                "name": field.name,
                "field_name": field.name,
                "pandas_type": pandas_type,
                "numpy_type": numpy_type,
                "metadata": None,
            }
        )
    extended[_PANDAS_KEY] = json.dumps({**pandas, "columns": columns, "index_columns": index}).encode()
    return extended
