"""Which columns of an object a model reads and writes, decided from the object's schema before a row is read."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.dataset.columns import holds_every_value
from scoring.columns.bisection import bisect_failures
from scoring.columns.foreign_schemas import update_foreign_schemas
from scoring.errors import ConfigurationError, DataError

_PANDAS_KEY = b"pandas"


@dataclass(frozen=True)
class ColumnPlan:
    """What to do with an object's columns for one model."""

    kept: tuple[str, ...]
    """Input columns that the output carries, in order."""
    schema: pa.Schema
    """Of the output: the kept columns as they are, then the added ones."""
    added: tuple[pa.Field, ...]
    """The predictions, and the row number where the record asks for it."""
    read: frozenset[str]
    """Columns that the model itself needs: its features and keys."""


def plan_columns(
    key: str, spec: ModelSpec, outputs: tuple[pa.Field, ...], schema: pa.Schema, null_counts: Mapping[str, int]
) -> ColumnPlan:
    """Match an object's schema with a model's record; `null_counts` holds the columns whose nulls are known.

    Raises DataError with all problems of the object, or ConfigurationError when the output's names cannot be used.
    """
    names: list[str] = list(schema.names)
    counts = Counter(names)
    problems = [f"column {name!r} appears more than once" for name in sorted(counts) if counts[name] > 1]
    problems += [
        f"key column {name!r} is missing: add it to the object or drop it from the record's key_columns"
        for name in spec.key_columns
        if name not in counts
    ]
    types = dict(zip(names, schema.types, strict=True))
    for feature in spec.features:
        # Where bad rows are tolerated a null is a matter of its row.
        nulls = 0 if spec.tolerated_quarantine_fraction else null_counts.get(feature.name, 0)
        problems += _feature_problems(feature, types, nulls)
    if problems:
        raise DataError(f"object {key!r} does not suit model {spec.model_id!r}: " + "; ".join(problems))
    # The output's key says what the object's key says, so that only a key column says it once more.
    passed = tuple(name for name in names if name not in spec.partition_columns or name in spec.key_columns)
    kept = passed if spec.columns == "all" else spec.key_columns
    added = outputs
    if spec.row_number_column:
        added = (*outputs, pa.field(spec.row_number_column, pa.int64(), nullable=False))
    taken = set(kept)
    clashes = [field.name for field in added if field.name in taken]
    if clashes:
        raise ConfigurationError(
            f"object {key!r}, model {spec.model_id!r}: the prediction columns {clashes} are also input columns: "
            "set output_columns or row_number_column in the model's record to other names"
        )
    if len({field.name for field in added}) != len(added):
        raise ConfigurationError(
            f"model {spec.model_id!r}: row_number_column {spec.row_number_column!r} is a prediction column's name: set "
            "it to another one in the model's record"
        )
    fields = [schema.field(name) for name in kept]
    metadata = extended_metadata(schema.metadata or {}, kept, added)
    output_schema = pa.schema([*fields, *added], metadata=metadata or None)
    read = frozenset(spec.key_columns) | {feature.name for feature in spec.features}
    return ColumnPlan(kept, output_schema, added, read)


def _feature_problems(feature: Feature, types: Mapping[str, pa.DataType], nulls: int) -> list[str]:
    if feature.name not in types:
        near = next((name for name in types if name.lower() == feature.name.lower()), None)
        hint = f" (it has {near!r}: names must be equal in case too)" if near else ""
        return [f"feature column {feature.name!r} of type {feature.type} is missing{hint}"]
    found = types[feature.name]
    if not casts_without_loss(found, feature.type):
        found_and_expected = f"is of type {found}, the record says {feature.type}, and not all values of the one fit in"
        return [
            f"feature column {feature.name!r} {found_and_expected} the other: convert the column or mend the record"
        ]
    if not feature.nullable and (nulls or pa.types.is_null(found)):
        count = f"{nulls:,} nulls" if nulls else "nothing but nulls"
        return [f"feature column {feature.name!r} has {count}, the record says that it has none (nullable: false)"]
    return []


def casts_without_loss(found: pa.DataType, declared: str) -> bool:
    """Whether values can go from one type to the other without loss."""
    return holds_every_value(declared, str(found.value_type if pa.types.is_dictionary(found) else found))


def cast_to_declared(feature: Feature, column: pa.Array, most: int) -> tuple[pa.Array, dict[int, str]]:
    """A batch's column in the type that the record declares, null where that cannot be, and why not, by index.

    When more than `most` values cannot be, only so many and one more are found.
    """
    bad: dict[int, str] = {}
    if column.null_count and not feature.nullable:
        nulls = [index for index, is_null in enumerate(column.is_null().to_pylist()) if is_null]
        reason = f"feature column {feature.name!r} is null, the record says that it has no nulls (nullable: false)"
        bad = dict.fromkeys(nulls[: most + 1], reason)
    if str(column.type) == feature.type:
        return column, bad
    declared = pa.float64() if feature.type == "double" else pa.type_for_alias(feature.type)
    try:
        return column.cast(declared), bad
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        found = bisect_failures(len(column), lambda start, stop: column.slice(start, stop - start).cast(declared), most)
    for index in found.failures:
        # A null can be cast to anything, so that no row has both reasons.
        bad[index] = (
            f"feature column {feature.name!r} of type {column.type} has a value that {feature.type} cannot hold "
            f"({column[index]}): convert the column"
        )
    chunks = dict(found.results)
    chunks.update({index: pa.nulls(1, declared) for index in found.failures})
    return pa.concat_arrays([chunks[start] for start in sorted(chunks)]), bad


def extended_metadata(
    metadata: Mapping[bytes, bytes], kept: tuple[str, ...], outputs: tuple[pa.Field, ...]
) -> dict[bytes, bytes]:
    """The schema's key-value metadata, with what pandas and others wrote about its columns kept true for the output."""
    extended = update_foreign_schemas(metadata, kept, outputs)
    if _PANDAS_KEY not in extended:
        return extended
    try:
        pandas: dict[str, Any] = json.loads(extended[_PANDAS_KEY])
        names = set(kept)
        columns = [item for item in pandas["columns"] if (item["field_name"] or item["name"]) in names]
        index = [item for item in pandas["index_columns"] if not isinstance(item, str) or item in names]
    except (ValueError, KeyError, TypeError):
        # Not pandas' own layout: without it readers fall back to the schema, with a wrong one they fail.
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
