"""Views of a request's check by the plan."""

from typing import Any

from rich.console import RenderableType

from cli.views.tables import add_row, counted, plain_json, plain_table, size_text
from contract.status import ExecutionKind
from contract.workflow.request_check import RequestCheck

_SHOWN_JOBS = 10


def check_json(check: RequestCheck) -> dict[str, Any]:
    """Return the JSON value of a check on the stage."""
    return {"valid": not check.problem_count, "checked": "plan", **plain_json(check)}


def check_view(check: RequestCheck) -> list[RenderableType]:
    """Return a sentence about what would run, a table of the first jobs, and the notes."""
    verbs = []
    if check.training_job_count:
        verbs.append(f"train with {counted(check.training_job_count, 'job')}")
    if check.job_count:
        verbs.append(f"score with {counted(check.job_count, 'job')}")
    read = (
        f"{counted(check.model_count, 'model')}, {counted(check.dataset_count, 'dataset')}, "
        f"{counted(check.object_count, 'object')}, {size_text(check.input_bytes)}"
    )
    lines: list[RenderableType] = [
        f"The request is valid. Its execution would {' and '.join(verbs) or 'run no job'}: {read}. Nothing was started."
    ]
    if check.jobs:
        lines.append(_jobs(check))
    more = check.training_job_count + check.job_count - min(len(check.jobs), _SHOWN_JOBS)
    if check.jobs and more:
        lines.append(f"and {counted(more, 'job')} more")
    return [*lines, *[f"Note: {note}" for note in check.notes]]


def problems_text(found: RequestCheck) -> str:
    """Return the problems with which the plan would refuse a request."""
    counted = "1 problem" if found.problem_count == 1 else f"{found.problem_count:,} problems"
    return "\n".join(
        [f"The plan would refuse the request with {counted}:", *[f"  - {text}" for text in found.problems]]
    )


def _jobs(check: RequestCheck) -> RenderableType:
    table = plain_table("job", "dataset", "models", "objects", "size", "instances", right=("models", "objects", "size"))
    for job in check.jobs[:_SHOWN_JOBS]:
        name = f"{job.job_id} (training)" if job.kind is ExecutionKind.TRAINING else job.job_id
        instances = f"{job.instance_count} x {job.instance_type}"
        size = size_text(job.input_bytes)
        add_row(table, name, job.dataset, f"{job.models:,}", f"{job.objects:,}", size, instances)
    return table
