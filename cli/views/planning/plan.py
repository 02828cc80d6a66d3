"""Views of the plan of a request: jobs, instances, time and cost."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement

from cli.views.tables import add_row, counted, plain_json, plain_table, shown_time, size_text
from contract.planner.figures import PlanFigures
from contract.planner.texts import band_text, cost_text, duration_text, instance_hours_text, prices_text
from contract.status import ExecutionKind
from contract.workflow.request_check import CheckedJob, ExpectedCapacity, RequestCheck

_SHOWN_JOBS = 20
_COLUMNS = ("job", "dataset", "models", "objects", "size", "rows", "instances", "disk", "duration", "cost")
_NARROW_COLUMNS = ("job", "models", "instances", "duration", "cost")
"""Columns of a table that fits a terminal of 80 characters."""
_ANY_WIDTH = 10_000
"""Width of a terminal in which every table fits, in characters."""


def plan_json(check: RequestCheck) -> dict[str, Any]:
    """Return the JSON value of a plan. `expected` has its figures."""
    return {"valid": not check.problem_count, **plain_json(check)}


def plan_view(check: RequestCheck, stage: str) -> list[RenderableType]:
    """Return the table of jobs, the totals, and what would make them cheaper or faster."""
    read = (
        f"{counted(check.model_count, 'model')}, {counted(check.dataset_count, 'dataset')}, "
        f"{counted(check.object_count, 'object')}, {size_text(check.input_bytes)}"
    )
    lines: list[RenderableType] = [
        f"Plan for stage {stage}: {counted(check.job_count, 'job')} would score {read}. Nothing was started."
    ]
    if check.training_job_count:
        jobs = counted(check.training_job_count, "job")
        lines.append(f"{jobs} would train first. Their time and cost are not estimated.")
    scoring = [job for job in check.jobs if job.kind is ExecutionKind.SCORING]
    if scoring:
        lines.append(_JobsTable(scoring))
    if more := check.job_count - min(len(scoring), _SHOWN_JOBS):
        lines.append(f"… and {counted(more, 'more job')}; --json shows all")
    if check.expected is not None:
        lines += _totals_lines(check.expected, scoring)
        notes = dict.fromkeys((*check.notes, *check.expected.figures.notes))
    else:
        notes = dict.fromkeys(check.notes)
    return [*lines, *[f"Note: {note}" for note in notes]]


def _totals_lines(expected: ExpectedCapacity, jobs: Iterable[CheckedJob]) -> list[str]:
    """Return what all jobs need together."""
    figures = expected.figures
    end = datetime.fromisoformat(expected.planned_at) + timedelta(seconds=figures.seconds.value)
    lines = [f"Duration: {band_text(figures.seconds)}, until about {shown_time(end.isoformat())}"]
    if expected.deadline_at:
        lines.append(f"Deadline: {shown_time(expected.deadline_at)}, {_against_deadline(expected, end)}")
    for name, needed in sorted(figures.quota_needed.items()):
        quota = expected.quotas.get(name)
        limit = "the quota is not known" if quota is None else f"the quota is {quota:,}"
        lines.append(f"Instances at once: {needed:,} x {name}; {limit}")
    largest = max((job.volume_gb for job in jobs), default=0)
    if largest:
        lines.append(f"Disk: up to {largest:,} GB per instance")
    lines.append(f"Instances: {_cost_text(figures)}")
    if expected.alternatives:
        lines.append("Alternatives:")
        lines += [f"  - {item}" for item in expected.alternatives]
    return lines


def _cost_text(figures: PlanFigures) -> str:
    """Return instance-hours and cost, with the origin of the prices."""
    text = instance_hours_text(figures.instance_hours)
    if figures.cost is None:
        # Prices without a date are none: the source says why.
        why = figures.price_source if figures.price_source and not figures.price_date else ""
        return f"{text}; the cost is not known, because {why or 'an instance type has no price'}"
    return f"{text}, {cost_text(figures.cost)} ({prices_text(figures.price_date, figures.price_source)})"


def _against_deadline(expected: ExpectedCapacity, end: datetime) -> str:
    seconds = (datetime.fromisoformat(expected.deadline_at) - end).total_seconds()
    if seconds < 0:
        return f"missed by {duration_text(-seconds)}"
    high = timedelta(seconds=expected.figures.seconds.high - expected.figures.seconds.value)
    late = (end + high) > datetime.fromisoformat(expected.deadline_at)
    return f"met with {duration_text(seconds)} to spare{', but not at the long end of the band' if late else ''}"


class _JobsTable:
    """The table of jobs, with fewer columns if the terminal is too narrow for all."""

    def __init__(self, jobs: list[CheckedJob]) -> None:
        self._jobs = jobs

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        table = _jobs_table(self._jobs, _COLUMNS)
        fits = Measurement.get(console, options.update(max_width=_ANY_WIDTH), table).maximum <= options.max_width
        yield table if fits else _jobs_table(self._jobs, _NARROW_COLUMNS)


def _jobs_table(jobs: list[CheckedJob], columns: tuple[str, ...]) -> RenderableType:
    right = ("models", "objects", "size", "rows", "disk", "cost")
    table = plain_table(*columns, right=right)
    for job in jobs[:_SHOWN_JOBS]:
        parts = f" ({job.parts:,} parts)" if job.parts else ""
        cells = {
            "job": job.job_id,
            "dataset": job.dataset,
            "models": f"{job.models:,}",
            "objects": f"{job.objects:,}",
            "size": size_text(job.input_bytes),
            "rows": "" if job.rows is None else f"{job.rows:,}",
            "instances": f"{job.instance_count} x {job.instance_type}{parts}",
            "disk": f"{job.volume_gb:,} GB",
            "duration": "" if job.seconds is None else band_text(job.seconds),
            "cost": cost_text(job.cost),
        }
        add_row(table, *(cells[column] for column in columns))
    return table
