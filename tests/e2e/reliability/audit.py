"""Checks what an execution left behind against what the documentation promises. Pure functions, no I/O.

Nothing here uses the code that it checks: commits are validated and rows are counted anew.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from contract.job.ledger import Commit
from contract.job.parts import JobPart
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus
from tests.e2e.reliability.evidence import Evidence, JobEvidence
from tests.e2e.reliability.small_fleet import ROUTES, SmallFleet, scores

_FINAL_JOBS = (JobStatus.SUCCEEDED, JobStatus.FAILED)
_ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
_NEXT_STEP = re.compile(
    r"\b(start|resume|retry|redrive|correct|raise|lower|register|restore|read|choose|deploy|let|grant|delete|fix|copy|"
    r"push|name|stop|train|set|check|wait|enable|leave)\b",
    re.IGNORECASE,
)
"""Words with which a next step begins."""

_UNRECORDED = "The job's child execution ended without recording a result"
"""Beginning of the reason when the workflow could not even note the failure in the table."""


@dataclass(frozen=True)
class Disturbed:
    """What the faults of a test may have caused."""

    outputs: Collection[str] = ()
    """Keys of objects whose outputs or commits a fault changed, removed or lost after they were committed."""
    unknown_failures: bool = False
    """Whether a failure's kind may be UNKNOWN, because nothing that Fleetscore can see tells the cause."""
    stopped: bool = False
    """Whether the execution was stopped."""


UNDISTURBED = Disturbed()


def audit(evidence: Evidence, fleet: SmallFleet, disturbed: Disturbed = UNDISTURBED) -> list[str]:
    """Return every promise that the execution broke; empty if it kept all."""
    return [
        *_open_things(evidence),
        *_statuses(evidence, disturbed),
        *(f"{job.record.job_id}: {text}" for job in evidence.jobs for text in _job(job, fleet, disturbed)),
        *_doubles(evidence),
        *_summary(evidence),
    ]


def audit_resumed(lineage: Sequence[Evidence], after: Evidence) -> list[str]:
    """Return what a resumed execution scored again although those that it resumes had committed it.

    No fault excuses it: what is committed is copied before a job starts.
    """
    old_jobs = [job for before in lineage for job in before.jobs]
    kept = {
        (model_id, key, etag, version)
        for job in old_jobs
        for model_id, version, key, etag in _committed(job)
        if job.record.fleet or not _quarantined(job, model_id, key)
    }
    layouts = {_identity(job) for job in old_jobs}
    found = []
    for job in after.jobs:
        if _identity(job) not in layouts:
            continue
        versions = _versions(job)
        for attempt, keys in job.scored.items():
            for key in keys:
                pairs = [(model, key, job.pinned.get(key, ""), versions[model]) for model in job.committing_models]
                if all(pair in kept for pair in pairs):
                    found.append(f"{job.record.job_id}: attempt {attempt} scored {key}, which was committed")
    return found


# ---- nothing stays open ----------------------------------------------------------------------


def _open_things(evidence: Evidence) -> Iterator[str]:
    if evidence.workflow not in _ENDED:
        yield f"Step Functions says that the execution is {evidence.workflow}"
    if evidence.record is None:
        if evidence.jobs:
            yield "there are records of jobs, but none of the execution"
    elif evidence.record.status is ExecutionStatus.RUNNING or not evidence.record.ended_at:
        yield f"the execution's record is {evidence.record.status}, ended at {evidence.record.ended_at!r}"
    for job in evidence.jobs:
        if job.record.status not in _FINAL_JOBS or not job.record.ended_at:
            yield f"{job.record.job_id} is {job.record.status}, ended at {job.record.ended_at!r}"
        for attempt in job.attempts:
            if attempt.status is AttemptStatus.RUNNING or not attempt.ended_at:
                yield f"attempt {attempt.attempt} of {attempt.job_id} is {attempt.status}"
    for name in evidence.open_sagemaker_jobs:
        yield f"the SageMaker job {name} still runs"


# ---- statuses and explanations ---------------------------------------------------------------


def _statuses(evidence: Evidence, disturbed: Disturbed) -> Iterator[str]:
    record = evidence.record
    if record is None:
        return
    whole: dict[str, list[JobStatus]] = {}
    for job in evidence.jobs:
        part = job.record.part
        whole.setdefault(part.job_id if isinstance(part, JobPart) else job.record.job_id, []).append(job.record.status)
    succeeded = sum(all(status is JobStatus.SUCCEEDED for status in found) for found in whole.values())
    # A plan that an execution's end interrupts may write jobs after the end. It closes them, but nobody counts them.
    counted = record.plan is not None
    if counted and (record.jobs_succeeded, record.jobs_failed) != (succeeded, len(whole) - succeeded):
        told = f"{record.jobs_succeeded} jobs succeeded and {record.jobs_failed} failed"
        yield f"the record says {told}, the jobs say {succeeded} and {len(whole) - succeeded}"
    if record.status is ExecutionStatus.SUCCEEDED:
        if succeeded != len(whole) or (record.plan is not None and record.plan.job_count != len(whole)):
            yield f"the execution is SUCCEEDED with {succeeded} of {len(whole)} jobs"
        if evidence.workflow != "SUCCEEDED" and not (disturbed.stopped and evidence.workflow == "ABORTED"):
            yield f"the execution's record is SUCCEEDED, Step Functions says {evidence.workflow}"
        return
    if evidence.workflow == "SUCCEEDED":
        yield f"the execution's record is {record.status}, Step Functions says SUCCEEDED"
    if not record.reason or not _NEXT_STEP.search(record.reason):
        yield f"the execution is {record.status} without a reason that says what to do: {record.reason!r}"


def _explained(job: JobEvidence, disturbed: Disturbed) -> Iterator[str]:
    record = job.record
    if record.status is not JobStatus.FAILED:
        return
    if record.failure_kind is None:
        yield "it FAILED without a kind"
    unrecorded = record.reason.startswith(_UNRECORDED)
    if record.failure_kind is FailureKind.UNKNOWN and not (disturbed.unknown_failures or unrecorded):
        yield f"it FAILED with the kind UNKNOWN: {record.reason}"
    if not record.reason or not _NEXT_STEP.search(record.reason):
        yield f"it FAILED without a reason that says what to do: {record.reason!r}"
    for attempt in job.attempts:
        if attempt.status is AttemptStatus.FAILED and (attempt.failure_kind is None or not attempt.reason):
            yield f"attempt {attempt.attempt} FAILED without a kind or a reason"


# ---- the law of each job ---------------------------------------------------------------------


def _job(job: JobEvidence, fleet: SmallFleet, disturbed: Disturbed) -> Iterator[str]:
    yield from _explained(job, disturbed)
    valid = _valid_commits(job)
    pairs = {(model_id, key) for model_id in job.committing_models for key in job.pinned}
    record = job.record
    if record.object_count != len(job.pinned):
        yield f"the record says {record.object_count} objects, the snapshot has {len(job.pinned)}"
    for model_id, key in sorted({(commit.model_id, commit.object) for commit in job.commits} - pairs):
        yield f"there is a commit of {model_id} and {key}, which are not of the job"
    if record.status is JobStatus.SUCCEEDED:
        for model_id, key in sorted(pairs - set(valid)):
            yield f"it SUCCEEDED without a valid commit of {model_id} and {key}"
        counts = [
            sum(getattr(commit, name) for commit in valid.values())
            for name in ("rows_in", "rows_scored", "rows_quarantined", "rows_skipped")
        ]
        told = [record.rows_in, record.rows_scored, record.rows_quarantined, record.rows_skipped]
        if counts != told:
            yield f"the record's rows (in, scored, quarantined, skipped) are {told}, those of the ledger {counts}"
        named = {_file(output.kind, output.key) for commit in valid.values() for output in commit.outputs}
        for name in sorted(set(job.files) - named):
            yield f"no commit names {name}"
    if record.commits and record.commits > len(pairs):
        yield f"the record says {record.commits} commits of {len(pairs)}"
    for (model_id, key), commit in sorted(valid.items()):
        yield from _rows(job, fleet, model_id, key, commit)
    yield from _scored_again(job, disturbed)


def _valid_commits(job: JobEvidence) -> dict[tuple[str, str], Commit]:
    """Return the commits whose object is pinned and whose outputs are in S3, by model and object."""
    found = {}
    for commit in job.commits:
        stored = [(output, job.files.get(_file(output.kind, output.key))) for output in commit.outputs]
        in_s3 = all(file and (file.size, file.crc64nvme) == (output.bytes, output.crc64nvme) for output, file in stored)
        if in_s3 and job.pinned.get(commit.object) == commit.etag:
            found[(commit.model_id, commit.object)] = commit
    return found


def _rows(job: JobEvidence, fleet: SmallFleet, model_id: str, key: str, commit: Commit) -> Iterator[str]:
    """Compare the rows of a commit's outputs with the scores that the models' formulas give."""
    table = fleet.contents.get((key, commit.etag))
    if table is None:
        yield f"{model_id} committed {key}, which cannot be read"
        return
    outputs = {output.kind: job.files[_file(output.kind, output.key)] for output in commit.outputs}
    rows = outputs["predictions"].rows if "predictions" in outputs else ()
    column = model_id if job.is_joined else "prediction"
    got = {row["row"]: row[column] for row in rows if row[column] is not None}
    numbers = [row["row"] for row in rows]
    if len(set(numbers)) != len(numbers):
        yield f"rows are more than once in the output of {model_id} and {key}"
    if job.record.fleet:
        wanted = _fleet_scores(job, fleet, key, commit.etag)
        refused = sum(
            visits is None and _member(job, fleet, segment) is not None
            for visits, segment in zip(table["visits"].to_pylist(), table["segment"].to_pylist(), strict=True)
        )
        skipped = sum(_member(job, fleet, segment) is None for segment in table["segment"].to_pylist())
    else:
        weight = fleet.weights[(model_id, job.models[model_id])]
        wanted = scores(weight, table)
        refused, skipped = table.num_rows - len(wanted), 0
    if got != wanted:
        differing = sorted(row for row in {*got, *wanted} if got.get(row) != wanted.get(row))
        yield f"{len(differing)} rows of {model_id} and {key} have other scores than expected, first row {differing[0]}"
    told = (commit.rows_in, commit.rows_scored, commit.rows_quarantined, commit.rows_skipped)
    if told != (table.num_rows, len(wanted), refused, skipped):
        expected = (table.num_rows, len(wanted), refused, skipped)
        yield f"the commit of {model_id} and {key} says {told} rows, expected {expected}"
    quarantined = outputs["quarantine"].rows if "quarantine" in outputs else ()
    if len(quarantined) != refused:
        yield f"{len(quarantined)} rows of {model_id} and {key} are in quarantine, expected {refused}"


def _member(job: JobEvidence, fleet: SmallFleet, segment: str) -> str | None:
    letter = next((letter for letter, routes in ROUTES.items() if segment in routes), None)
    model_id = f"{fleet.name}-{letter}"
    return model_id if letter and model_id in job.models else None


def _fleet_scores(job: JobEvidence, fleet: SmallFleet, key: str, etag: str) -> dict[int, float]:
    table = fleet.contents[(key, etag)]
    segments = dict(zip(table["row"].to_pylist(), table["segment"].to_pylist(), strict=True))
    found = {}
    for model_id, version in job.models.items():
        of_model = scores(fleet.weights[(model_id, version)], table)
        found |= {row: score for row, score in of_model.items() if _member(job, fleet, segments[row]) == model_id}
    return found


def _scored_again(job: JobEvidence, disturbed: Disturbed) -> Iterator[str]:
    """Find objects that two attempts have committed, or that an attempt scored after they were taken over."""
    times = Counter((commit.model_id, commit.object) for commit in job.commits)
    for (model_id, key), count in sorted(times.items()):
        if count > 1 and key not in disturbed.outputs:
            yield f"{model_id} committed {key} {count} times"


def _doubles(evidence: Evidence) -> Iterator[str]:
    """Find rows that one model scored in two jobs of the execution."""
    seen: Counter[tuple[str, int]] = Counter()
    for job in evidence.jobs:
        for (model_id, _), commit in _valid_commits(job).items():
            files = [
                job.files[_file(output.kind, output.key)] for output in commit.outputs if output.kind != "quarantine"
            ]
            seen.update((model_id, row["row"]) for file in files for row in file.rows)
    doubles = sorted(pair for pair, count in seen.items() if count > 1)
    if doubles:
        yield f"{len(doubles)} rows were scored twice, first row {doubles[0][1]} of {doubles[0][0]}"


def _summary(evidence: Evidence) -> Iterator[str]:
    record, summary = evidence.record, evidence.summary
    if record is None or record.status is ExecutionStatus.RUNNING:
        return
    if summary is None:
        yield "the execution has no summary.json"
        return
    told = {name: summary[name] for name in ("status", "jobs_succeeded", "jobs_failed")}
    recorded = {
        "status": record.status.value,
        "jobs_succeeded": record.jobs_succeeded,
        "jobs_failed": record.jobs_failed,
    }
    if told != recorded and record.plan is not None:
        yield f"summary.json says {told}, the record {recorded}"
    rows = sum(job.record.rows_scored for job in evidence.jobs)
    if summary["rows_scored"] != rows:
        yield f"summary.json says {summary['rows_scored']} rows were scored, the jobs' records {rows}"


# ---- small things ----------------------------------------------------------------------------


def _file(kind: str, key: str) -> str:
    return f"{kind}/{key}"


def _versions(job: JobEvidence) -> Mapping[str, str]:
    """Return the version of each committing model. That of a fleet names the versions of all members."""
    if job.record.fleet:
        return dict.fromkeys(job.committing_models, str(sorted(job.models.items())))
    return job.models


def _committed(job: JobEvidence) -> Iterator[tuple[str, str, str, str]]:
    versions = _versions(job)
    for (model_id, key), commit in _valid_commits(job).items():
        yield model_id, versions[model_id], key, commit.etag


def _quarantined(job: JobEvidence, model_id: str, key: str) -> bool:
    return _valid_commits(job)[(model_id, key)].rows_quarantined > 0


def _identity(job: JobEvidence) -> tuple[str, tuple[str, ...]]:
    """Return what a commit's outputs depend on besides its model: the layout, and who shares the output."""
    return job.record.output_layout, job.committing_models if job.is_joined else ()
