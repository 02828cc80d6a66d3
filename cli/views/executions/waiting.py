"""Lines about jobs that wait for capacity."""

from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.waiting import Waiting, waiting_jobs
from cli.views.tables import counted, shown_time


def waiting_lines(snapshot: Snapshot) -> list[str]:
    """Return a sentence per thing that jobs wait for: how many do, and since when."""
    return [_waiting_text(group) for group in waiting_jobs(snapshot)]


def _waiting_text(group: Waiting) -> str:
    verb = "waits" if group.jobs == 1 else "wait"
    return f"{counted(group.jobs, 'job')} {verb} for {group.what}, since {shown_time(group.since)}."
