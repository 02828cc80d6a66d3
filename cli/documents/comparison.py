"""What differs between two versions of a model."""

from dataclasses import dataclass
from typing import Any

from contract import codec
from contract.catalog.model_fields import Feature
from contract.catalog.models import ModelVersion

_OF_EVERY_VERSION = frozenset({"schema_version", "spec", "compute", "tags", "registered_at", "registered_by"})
"""Always different, or compared part by part."""


@dataclass(frozen=True)
class FeatureChanges:
    """How the input columns differ; `reordered` when the columns that both have stand in another order."""

    added: tuple[Feature, ...] = ()
    removed: tuple[Feature, ...] = ()
    retyped: tuple[tuple[Feature, Feature], ...] = ()
    """Before and after: another type, or another nullability."""
    reordered: bool = False


@dataclass(frozen=True)
class Comparison:
    """`fields` holds what each version says of every field that differs, artifact and tags among them."""

    model_id: str
    first: ModelVersion
    second: ModelVersion
    fields: dict[str, tuple[Any, Any]]
    features: FeatureChanges


def compare(first: ModelVersion, second: ModelVersion) -> Comparison:
    """Hold two versions against each other, in this order."""
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
    """Every field that can differ for a reason, with tags one by one."""
    record, spec = codec.to_json(version), codec.to_json(version.spec)
    hidden = {"schema_version", "model_id", "version", "features", "input"}
    return {
        **{name: value for name, value in spec.items() if name not in hidden},
        **{name: value for name, value in record.items() if name not in _OF_EVERY_VERSION},
        **{f"input.{name}": value for name, value in spec["input"].items()},
        **record["compute"],
        **{f"tag {name}": value for name, value in version.tags.items()},
    }
