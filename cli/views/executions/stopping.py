"""Shows what became of an execution that was stopped."""

from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.stopping import StopRequest
from cli.views.executions.execution_figures import objects_done, totals
from cli.views.tables import counted
from contract.status import ExecutionKind


def stopped_lines(requested: StopRequest, after: Snapshot) -> list[str]:
    """Return what `fleetscore stop` shows."""
    name = f"{'Training execution' if after.kind is ExecutionKind.TRAINING else 'Execution'} {after.execution_id}"
    if not requested.sent:
        return [f"{name} has already ended: {after.status}. Nothing was stopped."]
    if not after.ended:
        return [f"{name} is being stopped. Follow it with `fleetscore watch {after.execution_id}`."]
    if after.status != "ABORTED":
        return [f"{name} ended before it could be stopped: {after.status}."]
    lines = [f"{name} is stopped.{_jobs_text(after)}", *_continuation(after)]
    if not after.closed:
        lines.append(
            f"Its records are not closed yet, which takes some seconds: `fleetscore status {after.execution_id}`."
        )
    return lines


def _jobs_text(after: Snapshot) -> str:
    total = totals(after)
    if not total.jobs:
        return " No job had been planned."
    open_jobs = total.jobs - total.jobs_succeeded
    return f" {total.jobs_succeeded:,} of {counted(total.jobs, 'job')} had succeeded, {open_jobs:,} had not."


def _continuation(after: Snapshot) -> list[str]:
    """Return what happens to the results, and how to continue."""
    if after.kind is ExecutionKind.TRAINING:
        return ["Versions that its jobs registered stay. To train the other models, start `fleetscore train` again."]
    if not after.jobs or (after.record is not None and after.record.plan is None):
        return ["Start another one with `fleetscore run`."]
    done = [objects_done(job, after) for job in after.jobs]
    objects = sum(job.object_count for job in after.jobs)
    known = sum(count for count in done if count is not None)
    least = "at least " if None in done else ""
    per_job = ", counted per job" if len(after.jobs) > 1 else ""
    return [
        f"Committed outputs stay in S3: {least}{known:,} of {counted(objects, 'object')}{per_job}.",
        f"To score the rest: `fleetscore resume {after.execution_id}`.",
    ]
