"""Reasons of failures and notes of jobs: one line for all jobs that share them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cli.stage.diagnosis.failure_groups import Failure, FailureGroup, group_failures
from cli.stage.diagnosis.job_choice import all_items, job_name
from cli.stage.executions.execution_snapshot import Snapshot
from cli.views.tables import counted, one_line
from contract.status import FailureKind
from contract.table.records import AttemptRecord, JobRecord

_SHOWN_GROUPS = 8
_SHOWN_JOBS = 3
_SHOWN_OUTCOMES = 20
"""Largest numbers of lines of one sort, and of jobs that a line names. JSON has all of them."""

Attempts = Mapping[str, Sequence[AttemptRecord]]


def reason_lines(snapshot: Snapshot, attempts: Attempts) -> list[str]:
    """Return the reasons of failed and waiting jobs and attempts, outcomes, and the jobs' notes.

    Jobs with the same reason share a line.
    """
    outcomes = [f"{job_name(item)}: {item.outcome}" for item in all_items(snapshot) if item.outcome and not item.reason]
    hidden = len(outcomes) - _SHOWN_OUTCOMES
    more = [f"… and {counted(hidden, 'more outcome')}; `--json` has all"] if hidden > 0 else []
    lines = [
        *group_lines(failure_groups(snapshot, attempts), "reason"),
        *outcomes[:_SHOWN_OUTCOMES],
        *more,
        *group_lines(group_failures(_notes(snapshot)), "note"),
    ]
    return [one_line(line) for line in lines]


def failure_groups(snapshot: Snapshot, attempts: Attempts) -> list[FailureGroup]:
    """Return the failures of jobs, and of attempts that failed otherwise than their job."""
    return group_failures(_failures(snapshot, attempts))


def groups_json(groups: Sequence[FailureGroup]) -> list[dict[str, Any]]:
    """Return the groups with the jobs of each; `reason` is that of the first job."""
    return [
        {
            "kind": group.first.kind,
            "reason": group.first.text,
            "attempt": group.first.attempt or None,
            "jobs": [failure.job for failure in group.failures],
        }
        for group in groups
    ]


def with_kind(kind: FailureKind | None, reason: str) -> str:
    """Return a reason that begins with the kind of the failure."""
    # A container's message already begins with its kind.
    return f"{kind}: {reason}" if kind and not reason.startswith(f"{kind}:") else reason


def _failures(snapshot: Snapshot, attempts: Attempts) -> Iterator[Failure]:
    for job in all_items(snapshot):
        tried = attempts.get(job.job_id, ())
        names = _names(job, tried)
        if job.reason:
            yield Failure(job_name(job), job.reason, job.failure_kind, names=names)
        # The last attempt of a failed job has the same reason as the job.
        for attempt in tried:
            if attempt.reason and attempt.reason != job.reason:
                yield Failure(job_name(job), attempt.reason, attempt.failure_kind, attempt.attempt, names)


def _names(job: JobRecord, attempts: Sequence[AttemptRecord]) -> tuple[str, ...]:
    own = (job.job_id, job.part.job_id if job.part else "", job.sagemaker_job_name, *job.model_ids)
    return (*own, *(attempt.sagemaker_job_name for attempt in attempts))


def _notes(snapshot: Snapshot) -> Iterator[Failure]:
    for job in snapshot.jobs:
        for note in (*_fleet_notes(job), *job.notes):
            yield Failure(job.job_id, note, names=(job.job_id, *job.model_ids))


def _fleet_notes(job: JobRecord) -> list[str]:
    """Return the number of a fleet's models, and the rows that it skipped."""
    if not job.fleet:
        return []
    skipped = f"; {counted(job.rows_skipped, 'row')} of no model skipped" if job.rows_skipped else ""
    return [f"fleet {job.fleet} of {counted(job.fleet_models, 'model')}{skipped}"]


def group_lines(groups: Sequence[FailureGroup], word: str) -> list[str]:
    """Return a line per group, of the first groups; `word` is `reason` or `note`."""
    lines = [_group_line(group, "note" if word == "note" else "") for group in groups[:_SHOWN_GROUPS]]
    if hidden := groups[_SHOWN_GROUPS:]:
        jobs = len({failure.job for group in hidden for failure in group.failures})
        lines.append(f"… and {counted(len(hidden), f'more {word}')} of {counted(jobs, 'job')}; `--json` has all")
    return lines


def _group_line(group: FailureGroup, word: str) -> str:
    first = group.first
    what = word or (f"attempt {first.attempt}" if first.attempt else "")
    text = with_kind(first.kind, first.text)
    jobs = group_jobs(group)
    example = "" if group.same_text else f"for example {first.job}: "
    return f"{jobs}, {what}: {example}{text}" if what else f"{jobs}: {example}{text}"


def group_jobs(group: FailureGroup) -> str:
    """Return the name of a group's job, or the number of its jobs with the first names."""
    if len(group.failures) == 1:
        return group.first.job
    shown = ", ".join(failure.job for failure in group.failures[:_SHOWN_JOBS])
    hidden = len(group.failures) - _SHOWN_JOBS
    return f"{counted(len(group.failures), 'job')} ({shown}{f' and {hidden:,} more' if hidden > 0 else ''})"
