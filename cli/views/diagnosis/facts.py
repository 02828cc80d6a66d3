"""Facts about an execution: when it ran, over which data, and where its predictions are."""

from collections.abc import Sequence
from datetime import datetime

from cli.stage.diagnosis.chain import stop_text
from cli.stage.executions.execution_snapshot import Snapshot
from cli.views.executions.deadline import deadline_line
from cli.views.executions.execution_figures import committed_objects, ended_at, expected_end, started_at
from cli.views.planning.figures import figures_lines
from cli.views.tables import counted, exact_duration, one_line, shown_time, size_text
from contract import layout
from contract.status import ExecutionKind

_SHOWN_DATASETS = 3


def fact_lines(snapshot: Snapshot) -> list[str]:
    """Return when the execution ran, over which data, and where its predictions are."""
    lines = []
    if (start := started_at(snapshot)) is not None:
        lines.append(_times(snapshot, start))
    if line := deadline_line(snapshot):
        lines.append(line)
    if snapshot.workflow is not None and snapshot.workflow.status == "ABORTED":
        text = stop_text(snapshot)
        lines.append(text[0].upper() + text[1:])
    data = datasets(snapshot)
    if data:
        lines.append(f"{'Datasets' if len(data) > 1 else 'Dataset'}: {_first_of(list(data.values()))}")
    if uris := predictions_uris(snapshot):
        lines.append(f"Predictions: {_first_of(uris)}")
    done, objects = committed_objects(snapshot)
    if objects and (done < objects or snapshot.status != "SUCCEEDED"):
        per_job = ", counted per job" if len(snapshot.jobs) > 1 else ""
        lines.append(f"Committed: {done:,} of {counted(objects, 'object')}{per_job}")
    lines += figures_lines(snapshot)
    return [one_line(line) for line in lines]


def _times(snapshot: Snapshot, start: datetime) -> str:
    began = f"Started {shown_time(start.isoformat())}"
    if (end := ended_at(snapshot)) is not None:
        took = exact_duration((end - start).total_seconds())
        return f"{began}, ended {shown_time(end.isoformat())}, took {took}"
    if snapshot.ended:
        return began
    running = f"{began}, running for {exact_duration((snapshot.read_at - start).total_seconds())}"
    expected = expected_end(snapshot)
    return f"{running}, expected end {shown_time(expected.isoformat())} (an estimate)" if expected else running


def datasets(snapshot: Snapshot) -> dict[str, str]:
    """Return each dataset with its objects and bytes, as text."""
    found: dict[str, tuple[int, int]] = {}
    for job in snapshot.jobs:
        objects, size = found.get(job.dataset, (0, 0))
        found[job.dataset] = max(objects, job.object_count), max(size, job.input_bytes)
    return {
        name: f"{name} ({counted(objects, 'object')}, {size_text(size)})"
        for name, (objects, size) in sorted(found.items())
    }


def predictions_uris(snapshot: Snapshot) -> list[str]:
    """Return the prefixes of the execution's predictions, one per dataset and layout.

    Below the prefix of a dataset, each job has a folder. Only those of succeeded jobs are complete.
    """
    record = snapshot.record
    if record is None or record.plan is None:
        return []
    scoring = {(job.dataset, job.output_layout) for job in snapshot.jobs if job.kind is ExecutionKind.SCORING}
    return [
        layout.s3_uri(
            record.plan.jobs_bucket,
            f"{layout.executions_with_outputs_prefix('predictions', dataset, of_jobs)}{snapshot.execution_id}/",
        )
        for dataset, of_jobs in sorted(scoring)
    ]


def _first_of(texts: Sequence[str]) -> str:
    hidden = len(texts) - _SHOWN_DATASETS
    return ", ".join(texts[:_SHOWN_DATASETS]) + (f" and {hidden:,} more" if hidden > 0 else "")
