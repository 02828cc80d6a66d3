"""Differences between two versions of a model."""

from dataclasses import dataclass
from typing import Any

from contract import codec
from contract.catalog.model_fields import Feature
from contract.catalog.models import ModelVersion

_NOT_COMPARED = frozenset({"schema_version", "spec", "compute", "tags", "registered_at", "registered_by"})
"""Fields that always differ, or whose parts are compared one by one."""


@dataclass(frozen=True)
class FeatureChanges:
    """Differences in the input columns."""

    added: tuple[Feature, ...] = ()
    removed: tuple[Feature, ...] = ()
    retyped: tuple[tuple[Feature, Feature], ...] = ()
    """Features before and after a change of type or nullability."""
    reordered: bool = False
    """Whether the columns that both versions have are in another order."""


@dataclass(frozen=True)
class Comparison:
    """Differences between two versions."""

    model_id: str
    first: ModelVersion
    second: ModelVersion
    fields: dict[str, tuple[Any, Any]]
    """Both values of every field that differs, including the artifact and tags."""
    features: FeatureChanges


def compare(first: ModelVersion, second: ModelVersion) -> Comparison:
    """Return the differences of the second version from the first."""
    ours, theirs = _flat(first), _flat(second)
    names = list(dict.fromkeys([*ours, *theirs]))
    fields = {name: (ours.get(name), theirs.get(name)) for name in names if ours.get(name) != theirs.get(name)}
    return Comparison(first.spec.model_id, first, second, fields, compare_features(first, second))


def compare_features(first: ModelVersion, second: ModelVersion) -> FeatureChanges:
    before = {feature.name: feature for feature in first.spec.features}
    after = {feature.name: feature for feature in second.spec.features}
    shared = [name for name in before if name in after]
    return FeatureChanges(
        added=tuple(feature for name, feature in after.items() if name not in before),
        removed=tuple(feature for name, feature in before.items() if name not in after),
        retyped=tuple((before[name], after[name]) for name in shared if before[name] != after[name]),
        reordered=shared != [name for name in after if name in before],
    )


def _flat(version: ModelVersion) -> dict[str, Any]:
    """Return every field that is worth comparing, with one entry per tag."""
    record, spec = codec.to_json(version), codec.to_json(version.spec)
    hidden = {"schema_version", "model_id", "version", "features", "input"}
    return {
        **{name: value for name, value in spec.items() if name not in hidden},
        **{name: value for name, value in record.items() if name not in _NOT_COMPARED},
        **{f"input.{name}": value for name, value in spec["input"].items()},
        **record["compute"],
        **{f"tag {name}": value for name, value in version.tags.items()},
    }
