"""Executions by time as a table for people and as JSON values for programs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from cli.stage.diagnosis.execution_list import ListedExecution
from cli.views.executions.executions import status_text
from cli.views.tables import add_row, exact_duration, plain_table, shown_time
from contract.status import ExecutionKind


def executions_table(listed: Sequence[ListedExecution], now: datetime) -> Table:
    """Return a table with a line per execution. Columns that no execution fills are left out."""
    has_labels = any(execution.label for execution in listed)
    has_trainings = any(execution.kind is ExecutionKind.TRAINING for execution in listed)
    has_resumed = any(execution.resumes for execution in listed)
    optional = [
        name for name, used in (("kind", has_trainings), ("resumes", has_resumed), ("label", has_labels)) if used
    ]
    table = plain_table("execution", "status", "started", "took", "jobs", "failed", *optional, right=("jobs", "failed"))
    for execution in listed:
        cells: list[Text | str] = [
            execution.execution_id,
            status_text(execution.status),
            shown_time(execution.started_at.isoformat()),
            exact_duration(_seconds(execution, now)),
            "" if execution.jobs is None else f"{execution.jobs:,}",
            f"{execution.jobs_failed:,}" if execution.jobs_failed else "",
        ]
        cells += [execution.kind.value] if has_trainings else []
        cells += [execution.resumes] if has_resumed else []
        cells += [execution.label] if has_labels else []
        add_row(table, *cells)
    return table


def listed_json(execution: ListedExecution, now: datetime) -> dict[str, Any]:
    return {
        "execution_id": execution.execution_id,
        "kind": execution.kind.value,
        "status": execution.status,
        "label": execution.label,
        "started_at": execution.started_at.isoformat(),
        "ended_at": execution.ended_at.isoformat() if execution.ended_at else None,
        "seconds": _seconds(execution, now),
        "jobs": execution.jobs,
        "jobs_succeeded": execution.jobs_succeeded,
        "jobs_failed": execution.jobs_failed,
        "resumes": execution.resumes,
    }


def _seconds(execution: ListedExecution, now: datetime) -> float:
    return max(0.0, ((execution.ended_at or now) - execution.started_at).total_seconds())
