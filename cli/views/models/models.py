"""Models and their versions as tables for people and as JSON values for programs."""

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from cli.documents.comparison import Comparison, FeatureChanges
from cli.sample_scoring.sample import Preview
from cli.sample_scoring.schema_inference import InferredFeature
from cli.views.tables import (
    WholeTable,
    add_row,
    cell_text,
    counted,
    fields_table,
    one_line,
    plain_json,
    plain_table,
    shown_time,
    size_text,
)
from contract.catalog.model_fields import Feature
from contract.catalog.models import Model, ModelVersion


def models_table(models: Sequence[tuple[Model, ModelVersion | None]]) -> Table:
    in_fleets = any(version is not None and version.fleet for _, version in models)
    names = ("model", "enabled", "version", "dataset", *(("fleet",) if in_fleets else ()), "format", "method")
    table = plain_table(*names, "features", "tags", right=("features",))
    for model, version in models:
        tags = ", ".join(f"{key}={value}" for key, value in sorted(model.tags.items()))
        dataset, fleet, details = "version not found", "", ("", "", "")
        if version is not None:
            dataset, fleet = version.dataset, version.fleet
            details = (version.spec.format, version.spec.method, str(len(version.spec.features)))
        first = (model.model_id, "yes" if model.enabled else "no", model.current_version, dataset)
        add_row(table, *first, *((fleet,) if in_fleets else ()), *details, tags)
    return table


def model_json(model: Model, version: ModelVersion | None) -> dict[str, Any]:
    return {**plain_json(model), "version": plain_json(version) if version is not None else None}


def versions_table(model: Model | None, versions: Sequence[ModelVersion]) -> Table:
    trained = any(version.decision is not None for version in versions)
    table = plain_table(
        "version",
        "registered",
        "by",
        "dataset",
        "format",
        "method",
        "size",
        "SHA-256",
        *(("state", "metric") if trained else ()),
        right=("size",),
    )
    for version in versions:
        current = " (current)" if model is not None and version.spec.version == model.current_version else ""
        add_row(
            table,
            version.spec.version + current,
            shown_time(version.registered_at),
            _short_caller(version.registered_by),
            version.dataset,
            version.spec.format,
            version.spec.method,
            size_text(version.spec.artifact_bytes),
            version.spec.artifact_sha256[:12],
            *(_trained_cells(version) if trained else ()),
        )
    return table


def _short_caller(arn: str) -> str:
    """Return the last part of an ARN, since a whole one makes lines too wide; --json has it.

    >>> _short_caller("arn:aws:states:us-east-1:123456789012:execution:fleetscore-dev-training:20261201T005838Z")
    'execution 20261201T005838Z'
    >>> _short_caller("arn:aws:sts::123456789012:assumed-role/admin/ann")
    'assumed-role/admin/ann'
    """
    kind, _, name = arn.rpartition(":")
    return f"execution {name}" if ":states:" in kind and ":execution:" in kind else name


def _trained_cells(version: ModelVersion) -> tuple[str, str]:
    """Return state and metric; both are empty for a version that was registered by hand."""
    if version.decision is None or version.trained_by is None:
        return "", ""
    metric = version.trained_by.metric
    value = version.metrics.get(metric)
    return version.decision.state.value, "" if value is None else f"{metric} {value:.4g}"


def version_table(version: ModelVersion) -> Table:
    """Return a table of every field of a version."""
    features = ", ".join(map(feature_text, version.spec.features))
    fields = {**plain_json(version), **plain_json(version.spec), "features": features}
    fields |= fields.pop("compute")
    for name in ("trained_by", "decision"):
        fields |= {f"{name}.{part}": value for part, value in (fields.pop(name) or {}).items()}
    del fields["spec"]
    return fields_table(fields)


def history_table(model: Model) -> Table:
    """Return a table of the changes of the current version, latest first."""
    table = plain_table("current since", "version", "by", "reason")
    for change in reversed(model.history):
        add_row(table, shown_time(change.changed_at), change.version, _short_caller(change.changed_by), change.reason)
    return table


def decision_line(version: ModelVersion) -> str:
    """Return the decision about a trained version; empty for any other version."""
    decision = version.decision
    if decision is None:
        return ""
    by = f", by {_short_caller(decision.decided_by)}" if decision.decided_by else ""
    return one_line(
        f"{version.spec.version}: {decision.state.value}, {decision.reason} ({shown_time(decision.decided_at)}{by})"
    )


def comparison_view(found: Comparison) -> list[RenderableType]:
    """Return what `fleetscore models compare` shows."""
    first, second = found.first.spec.version, found.second.spec.version
    changes = feature_lines(found.features)
    if not found.fields and not changes:
        return [f"{found.model_id}: versions {first} and {second} have the same record and the same artifact."]
    table = plain_table("field", first, second)
    for name, (ours, theirs) in found.fields.items():
        add_row(table, name, cell_text(ours), cell_text(theirs))
    return [*([table] if found.fields else []), *(changes or ["The features are the same."])]


def feature_lines(changes: FeatureChanges) -> list[str]:
    lines = [f"feature added: {feature_text(feature)}" for feature in changes.added]
    lines += [f"feature removed: {feature_text(feature)}" for feature in changes.removed]
    lines += [f"feature retyped: {feature_text(a)} -> {feature_text(b)}" for a, b in changes.retyped]
    return [*lines, "The features are in another order."] if changes.reordered else lines


def feature_text(feature: Feature) -> str:
    """Return a feature as `--features` takes it."""
    return one_line(f"{feature.name}:{feature.type}{'' if feature.nullable else ':required'}")


def inferred_view(inferred: Sequence[InferredFeature]) -> list[RenderableType]:
    """Return what `--infer-schema` found."""
    table = plain_table("feature", "type", "nulls allowed", "nulls in the sample", right=("nulls in the sample",))
    for item in inferred:
        feature = item.feature
        add_row(table, feature.name, feature.type, "yes" if feature.nullable else "no", f"{item.nulls:,}")
    return [f"Inferred {counted(len(inferred), 'feature')} from the artifact and the sample:", table]


def score_view(version: ModelVersion, found: Preview, notes: Sequence[str]) -> list[RenderableType]:
    """Return what `fleetscore models test` shows."""
    spec = version.spec
    added = ", ".join(f"{name}:{kind}" for name, kind in found.added.items())
    table = WholeTable(found.columns, [["" if value is None else str(value) for value in row] for row in found.first])
    title = f"{spec.model_id}, version {spec.version}, scored {counted(found.rows, 'row')} of the sample."
    return [title, *(f"Note: {note}" for note in notes), f"Columns added: {added}", table]


def score_json(version: ModelVersion, found: Preview, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "model_id": version.spec.model_id,
        "version": version.spec.version,
        "rows": found.rows,
        "notes": list(notes),
        "columns_added": found.added,
        "first_rows": [dict(zip(found.columns, row, strict=True)) for row in found.first],
    }


def comparison_json(found: Comparison) -> dict[str, Any]:
    changes = found.features
    return {
        "model_id": found.model_id,
        "versions": [found.first.spec.version, found.second.spec.version],
        "fields": {name: list(values) for name, values in found.fields.items()},
        "features": {
            "added": [plain_json(feature) for feature in changes.added],
            "removed": [plain_json(feature) for feature in changes.removed],
            "retyped": [[plain_json(before), plain_json(after)] for before, after in changes.retyped],
            "reordered": changes.reordered,
        },
    }
