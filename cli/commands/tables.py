"""Models, executions and jobs as tables for people and as JSON values for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.documents.comparison import Comparison, FeatureChanges
from cli.sample_scoring.sample import Preview
from cli.sample_scoring.schema_inference import InferredFeature
from cli.stage.executions import Snapshot
from cli.stage.figures import counted, job_seconds, objects_done, rows_a_second, rows_counted, totals
from contract import codec
from contract.catalog.model_fields import Feature
from contract.catalog.models import Model, ModelVersion
from contract.status import ExecutionKind, FailureKind
from contract.table.records import AttemptRecord, JobRecord

_STYLES = {
    "SUCCEEDED": "green",
    "RUNNING": "cyan",
    "WAITING": "yellow",
    "PENDING": "dim",
    "PARTLY_FAILED": "yellow",
    "FAILED": "red",
    "ABORTED": "red",
    "TIMED_OUT": "red",
}


def plain_json(record: Any) -> dict[str, Any]:
    """A record as JSON without the schema version, which belongs to messages."""
    return {name: value for name, value in codec.to_json(record).items() if name != codec.SCHEMA_VERSION_FIELD}


# ---- models --------------------------------------------------------------------------------------------------


def models_table(models: Sequence[tuple[Model, ModelVersion | None]]) -> Table:
    table = plain_table(
        "model", "enabled", "version", "dataset", "format", "method", "features", "tags", right=("features",)
    )
    for model, version in models:
        tags = ", ".join(f"{key}={value}" for key, value in sorted(model.tags.items()))
        details = (
            (version.dataset, version.spec.format, version.spec.method, str(len(version.spec.features)))
            if version is not None
            else ("version not found", "", "", "")
        )
        add_row(table, model.model_id, "yes" if model.enabled else "no", model.current_version, *details, tags)
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
            version.registered_at,
            version.registered_by,
            version.dataset,
            version.spec.format,
            version.spec.method,
            size_text(version.spec.artifact_bytes),
            version.spec.artifact_sha256[:12],
            *(_trained_cells(version) if trained else ()),
        )
    return table


def _trained_cells(version: ModelVersion) -> tuple[str, str]:
    """State and metric, empty for a version that was registered."""
    if version.decision is None or version.trained_by is None:
        return "", ""
    metric = version.trained_by.metric
    value = version.metrics.get(metric)
    return version.decision.state.value, "" if value is None else f"{metric} {value:.4g}"


def version_table(version: ModelVersion) -> Table:
    """Every field of one version."""
    features = ", ".join(map(feature_text, version.spec.features))
    fields = {**plain_json(version), **plain_json(version.spec), "features": features}
    fields |= fields.pop("compute")
    for name in ("trained_by", "decision"):
        fields |= {f"{name}.{part}": value for part, value in (fields.pop(name) or {}).items()}
    del fields["spec"]
    return fields_table(fields)


def fields_table(fields: Mapping[str, Any]) -> Table:
    """One line a field; nothing is cut, however long a value is."""
    table = plain_table("field", "value")
    for name, value in fields.items():
        add_row(table, name, _cell(value))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def history_table(model: Model) -> Table:
    """What became current when, by whom and why, the latest first."""
    table = plain_table("current since", "version", "by", "reason")
    for change in reversed(model.history):
        add_row(table, change.changed_at, change.version, change.changed_by, change.reason)
    return table


def comparison_view(found: Comparison) -> list[RenderableType]:
    """All that `fleetscore models compare` shows."""
    first, second = found.first.spec.version, found.second.spec.version
    changes = feature_lines(found.features)
    if not found.fields and not changes:
        return [f"{found.model_id}: versions {first} and {second} have the same record and the same artifact."]
    table = plain_table("field", first, second)
    for name, (ours, theirs) in found.fields.items():
        add_row(table, name, _cell(ours), _cell(theirs))
    return [*([table] if found.fields else []), *(changes or ["The features are the same."])]


def feature_lines(changes: FeatureChanges) -> list[str]:
    lines = [f"feature added: {feature_text(feature)}" for feature in changes.added]
    lines += [f"feature removed: {feature_text(feature)}" for feature in changes.removed]
    lines += [f"feature retyped: {feature_text(a)} -> {feature_text(b)}" for a, b in changes.retyped]
    return [*lines, "The features stand in another order."] if changes.reordered else lines


def feature_text(feature: Feature) -> str:
    """As `--features` takes it."""
    return f"{feature.name}:{feature.type}{'' if feature.nullable else ':required'}"


def inferred_view(inferred: Sequence[InferredFeature]) -> list[RenderableType]:
    """What `--infer-schema` found."""
    table = plain_table("feature", "type", "nulls allowed", "nulls in the sample", right=("nulls in the sample",))
    for item in inferred:
        feature = item.feature
        add_row(table, feature.name, feature.type, "yes" if feature.nullable else "no", f"{item.nulls:,}")
    return [f"Inferred {counted(len(inferred), 'feature')} from the artifact and the sample:", table]


def score_view(version: ModelVersion, found: Preview, notes: Sequence[str]) -> list[RenderableType]:
    """All that `fleetscore models test` shows."""
    spec = version.spec
    added = ", ".join(f"{name}:{kind}" for name, kind in found.added.items())
    table = plain_table(*found.columns)
    for row in found.first:
        add_row(table, *("" if value is None else str(value) for value in row))
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


# ---- executions ----------------------------------------------------------------------------------------------


def execution_view(snapshot: Snapshot, attempts: Mapping[str, Sequence[AttemptRecord]]) -> list[RenderableType]:
    """All that `fleetscore status` shows."""
    status_line, *details = heading_lines(snapshot)
    if not snapshot.jobs:
        return [status_line, *details]
    return [status_line, jobs_table(snapshot), totals_line(snapshot), *reason_lines(snapshot, attempts), *details]


def jobs_table(snapshot: Snapshot) -> Table:
    """One line a job. Reasons are too long for a column: `reason_lines` has them."""
    numbers = ("attempt", "objects", "rows", "rows/s", "seconds")
    table = plain_table("job", "status", *numbers, right=numbers)
    for job in snapshot.jobs:
        add_row(table, *job_cells(job, snapshot))
    return table


def reason_lines(snapshot: Snapshot, attempts: Mapping[str, Sequence[AttemptRecord]]) -> list[str]:
    """Why jobs failed or wait, in full, with the earlier attempts of those that had several, and what jobs note."""
    lines: list[str] = []
    for job in snapshot.jobs:
        if job.reason or job.outcome:
            lines.append(f"{job.job_id}: {job_reason(job) if job.reason else job.outcome}")
        # The last attempt's reason is the job's, where the job has not succeeded.
        tried = [attempt for attempt in attempts.get(job.job_id, []) if attempt.reason and attempt.reason != job.reason]
        lines += [
            f"{job.job_id}, attempt {attempt.attempt}: {_with_kind(attempt.failure_kind, attempt.reason)}"
            for attempt in tried
        ]
        lines += [f"{job.job_id}, note: {note}" for note in job.notes]
    return lines


def job_cells(job: JobRecord, snapshot: Snapshot) -> list[Text | str]:
    """Job, status, attempt, objects, rows, rows a second, seconds."""
    seconds = job_seconds(job, snapshot.read_at) if job.ended_at or not snapshot.ended else None
    rate = rows_a_second(job, snapshot.read_at)
    return [
        job.job_id,
        status_text(job.status),
        f"{job.attempt}/{job.max_attempts}",
        objects_text(job, snapshot),
        f"{job.rows_in:,}" if rows_counted(job) else "",
        f"{rate:,.0f}" if rate is not None else "",
        f"{seconds:,.1f}" if seconds is not None else "",
    ]


def objects_text(job: JobRecord, snapshot: Snapshot) -> str:
    done = objects_done(job, snapshot)
    return f"{job.object_count:,}" if done is None else f"{done:,}/{job.object_count:,}"


def job_reason(job: JobRecord) -> str:
    return _with_kind(job.failure_kind, job.reason)


def _with_kind(kind: FailureKind | None, reason: str) -> str:
    # A container's own message begins with its kind already.
    return f"{kind}: {reason}" if kind and not reason.startswith(f"{kind}:") else reason


def totals_line(snapshot: Snapshot) -> str:
    """One sentence about all jobs."""
    total = totals(snapshot)
    parts = [f"{total.jobs_ended:,} of {counted(total.jobs, 'job')} ended"]
    if total.jobs_failed:
        parts.append(f"{total.jobs_failed:,} failed")
    if total.jobs_running and not snapshot.ended:
        parts.append(f"{total.jobs_running:,} running")
    parts.append(counted(total.rows_in, "row"))
    if total.rows_quarantined:
        parts.append(f"{total.rows_quarantined:,} of them in quarantine")
    return ", ".join(parts)


def heading_lines(snapshot: Snapshot) -> list[str]:
    """What stands above and below the jobs: status, label, note, reason, where the summary lies."""
    record = snapshot.record
    label = f" ({record.label})" if record is not None and record.label else ""
    word = "Training execution" if snapshot.kind is ExecutionKind.TRAINING else "Execution"
    lines = [f"{word} {snapshot.execution_id}{label}: {snapshot.status}"]
    if record is not None and record.training_execution_id:
        lines.append(f"It trained first, in execution {record.training_execution_id}.")
    if snapshot.note:
        lines.append(snapshot.note)
    # Where jobs failed, their own reasons say it in full.
    explained = any(job.reason for job in snapshot.jobs)
    # A training that failed is the reason of no job.
    explained = explained and not (record is not None and record.training_failure)
    if snapshot.ended and snapshot.reason and not explained and snapshot.reason not in snapshot.note:
        lines.append(f"Reason: {snapshot.reason}")
    if record is not None and record.summary_uri:
        lines.append(f"Summary: {record.summary_uri}")
    return lines


def snapshot_json(snapshot: Snapshot, attempts: Mapping[str, Sequence[AttemptRecord]] | None = None) -> dict[str, Any]:
    """An execution for programs. `status` is the truth where record and Step Functions disagree; `note` says how."""
    workflow = snapshot.workflow
    jobs = []
    for job in snapshot.jobs:
        seconds = job_seconds(job, snapshot.read_at) if job.ended_at or not snapshot.ended else None
        figures = {
            "objects_committed": objects_done(job, snapshot),
            "seconds": seconds,
            "rows_a_second": rows_a_second(job, snapshot.read_at),
        }
        tried = {"attempts": [plain_json(attempt) for attempt in attempts.get(job.job_id, [])]} if attempts else {}
        jobs.append({**plain_json(job), **figures, **tried})
    return {
        "execution_id": snapshot.execution_id,
        "kind": snapshot.kind.value,
        "status": snapshot.status,
        "ended": snapshot.ended,
        "note": snapshot.note,
        "reason": snapshot.reason if snapshot.ended else "",
        "read_at": snapshot.read_at.isoformat(),
        "step_functions": None
        if workflow is None
        else {
            "status": workflow.status,
            "started_at": workflow.started_at.isoformat(),
            "stopped_at": workflow.stopped_at.isoformat() if workflow.stopped_at else None,
            "error": workflow.error,
            "cause": workflow.cause,
        },
        "record": plain_json(snapshot.record) if snapshot.record is not None else None,
        "totals": vars(totals(snapshot)),
        "jobs": jobs,
    }


def status_text(status: str) -> Text:
    return Text(str(status), style=_STYLES.get(str(status), ""))


def size_text(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


def add_row(table: Table, *cells: Text | str) -> None:
    """Add cells as they are."""
    # As Text, because a plain string is read as rich's markup: a reason or a tag may hold brackets.
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def plain_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table without lines, for columns of these names."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for column in columns:
        # On a narrow terminal these go on in the next line, so that figures and statuses stay whole.
        long = column in ("job", "model", "value", "by", "tags", "request")
        table.add_column(column, justify="right" if column in right else "left", overflow="fold", no_wrap=not long)
    return table
