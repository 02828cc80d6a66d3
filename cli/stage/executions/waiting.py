"""The jobs of a running execution that wait for capacity."""

from collections.abc import Iterable
from dataclasses import dataclass

from cli.stage.executions.execution_snapshot import Snapshot
from contract.table.records import JobRecord


@dataclass(frozen=True)
class Waiting:
    """Jobs that wait for the same."""

    jobs: int
    what: str
    since: str
    """When the first of them began to wait."""


def waiting_jobs(snapshot: Snapshot) -> list[Waiting]:
    """Return what jobs and parts of jobs wait for, most jobs first; nothing once the execution has ended."""
    if snapshot.ended:
        return []
    found: dict[str, list[JobRecord]] = {}
    for job in _items(snapshot):
        if job.waiting_for:
            found.setdefault(job.waiting_for, []).append(job)
    groups = [Waiting(len(jobs), what, min(job.waiting_since for job in jobs)) for what, jobs in found.items()]
    return sorted(groups, key=lambda group: (-group.jobs, group.since))


def _items(snapshot: Snapshot) -> Iterable[JobRecord]:
    for job in snapshot.jobs:
        yield from snapshot.parts.get(job.job_id, (job,))
