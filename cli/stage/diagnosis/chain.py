"""Explains a failure as a chain from the symptom to the cause, with the command that comes next."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cli.stage.diagnosis.evidence import Evidence
from cli.stage.diagnosis.job_choice import job_name
from cli.stage.diagnosis.next_command import next_command
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.waiting import Waiting, waiting_jobs
from contract.status import ExecutionKind, FailureKind, JobStatus
from contract.table.records import AttemptRecord, JobRecord

_SHORTEST_CAUSE = 20
"""Length of what may be left of a recorded cause when the texts that have steps are taken out."""


@dataclass(frozen=True)
class Step:
    """One link of a chain: what happened, when, and what its source says about it."""

    moment: datetime | None
    what: str
    text: str
    problems: tuple[str, ...] = ()
    """The problems of a refused request."""


@dataclass(frozen=True)
class Chain:
    """Explanation of an execution or a job, from the symptom to the cause."""

    moment: datetime | None
    """When the execution ended; when it was read if it runs."""
    verdict: str
    steps: tuple[Step, ...]
    remedy: str
    """What to do before the next command; empty if nothing is."""
    next_command: str


def explain(evidence: Evidence) -> Chain:
    """Return the chain of an execution, or of the job that was asked about."""
    steps = tuple(_steps(evidence))
    attempt = evidence.failed_attempt
    ended = evidence.job is not None and evidence.job.status is JobStatus.FAILED and evidence.snapshot.ended
    remedy = attempt.remedy if attempt is not None and ended else ""
    moment = _ended_at(evidence.snapshot) or (None if evidence.snapshot.ended else evidence.snapshot.read_at)
    return Chain(moment, verdict(evidence), steps, remedy, next_command(evidence))


def verdict(evidence: Evidence) -> str:
    """Return in one sentence how the execution or the job is."""
    snapshot, job = evidence.snapshot, evidence.job
    name, total = snapshot.execution_id, len(snapshot.jobs)
    if evidence.asked_job and job is not None and job.status is not JobStatus.FAILED:
        words = {
            JobStatus.SUCCEEDED: f"Nothing is wrong: job {evidence.asked_job} SUCCEEDED",
            JobStatus.RUNNING: f"Job {evidence.asked_job} is RUNNING",
            JobStatus.PENDING: f"Job {evidence.asked_job} is PENDING: no attempt has started",
            JobStatus.WAITING: f"Job {evidence.asked_job} is WAITING for another attempt",
        }
        waits = " and waits for capacity" if job.waiting_for and not snapshot.ended else ""
        return f"{words[job.status]}{waits}. Its execution {name} is {snapshot.status}."
    failed = sum(each.status is JobStatus.FAILED for each in snapshot.jobs)
    jobs = f"{failed:,} of {total:,} {'job' if total == 1 else 'jobs'} failed"
    if snapshot.status == "SUCCEEDED" and not failed:
        return f"Nothing is wrong: {name} SUCCEEDED."
    if not snapshot.ended:
        so_far = jobs if failed else "no job has failed"
        waiting = sum(group.jobs for group in waiting_jobs(snapshot))
        so_far += f" so far; {waiting:,} {'waits' if waiting == 1 else 'wait'} for capacity" if waiting else " so far"
        return f"{name} is RUNNING, and {so_far}." if total else f"{name} is RUNNING. {snapshot.note}".rstrip()
    return f"{name} is {snapshot.status}: {jobs}." if total else f"{name} is {snapshot.status}, without any job."


def _steps(evidence: Evidence) -> Iterator[Step]:
    snapshot, job = evidence.snapshot, evidence.job
    if job is None:
        yield from _waiting_steps(waiting_jobs(snapshot))
        yield from _steps_without_job(evidence)
        return
    yield Step(_time(job.ended_at) or snapshot.read_at, f"job {job_name(job)}", _job_text(evidence, job))
    if job.waiting_for and not snapshot.ended:
        yield from _waiting_steps([Waiting(1, job.waiting_for, job.waiting_since)])
    attempt = evidence.failed_attempt
    if attempt is not None and job.status is not JobStatus.SUCCEEDED:
        yield from _earlier_attempts(evidence, attempt)
        yield Step(_time(attempt.ended_at), f"attempt {attempt.attempt} of at most {job.max_attempts}", _rule(attempt))
        yield from _service_steps(evidence, attempt)
        yield from _object_steps(evidence)
    if job.status is JobStatus.FAILED and (attempt is None or not attempt.rule):
        yield from _end_of_execution(snapshot, job)


def _waiting_steps(groups: Iterable[Waiting]) -> Iterator[Step]:
    for group in groups:
        jobs = "1 job waits" if group.jobs == 1 else f"{group.jobs:,} jobs wait"
        yield Step(_time(group.since), f"{jobs} for capacity", group.what)


def _steps_without_job(evidence: Evidence) -> Iterator[Step]:
    """Yield why an execution has no failed job although it has not succeeded."""
    snapshot = evidence.snapshot
    if not snapshot.ended or snapshot.status == "SUCCEEDED":
        return
    moment = _ended_at(snapshot)
    if snapshot.status == "ABORTED":
        yield Step(moment, "StopExecution", stop_text(snapshot))
        return
    training = evidence.training
    if training is not None and training.status != "SUCCEEDED":
        yield Step(
            moment, f"execution {snapshot.execution_id}", f"{snapshot.status}, because its training did not succeed"
        )
        reason = training.reason or training.note
        yield Step(_ended_at(training), f"training execution {training.execution_id}", f"{training.status}: {reason}")
        return
    what = "the plan" if not snapshot.jobs else f"execution {snapshot.execution_id}"
    reason = snapshot.reason or snapshot.note or f"{snapshot.status}, without a reason"
    first, *problems = reason.splitlines()
    yield Step(moment, what, first, tuple(problems))


def _job_text(evidence: Evidence, job: JobRecord) -> str:
    words = [str(job.status)]
    if job.failure_kind:
        words[0] += f" ({job.failure_kind})"
    committed = evidence.snapshot.committed.get(job.job_id, job.commits // len(job.model_ids))
    if job.kind is ExecutionKind.SCORING and job.status is not JobStatus.SUCCEEDED:
        words.append(f"{committed:,} of {job.object_count:,} objects committed")
    words.append(f"{job.attempt:,} of at most {job.max_attempts:,} attempts")
    return ", ".join(words)


def _earlier_attempts(evidence: Evidence, last: AttemptRecord) -> Iterator[Step]:
    """Yield the earlier attempts that failed for another reason."""
    for attempt in evidence.attempts:
        if attempt.attempt < last.attempt and attempt.reason and attempt.rule != last.rule:
            text = f"{_rule(attempt)}: {attempt.cause or attempt.reason}"
            yield Step(_time(attempt.ended_at), f"attempt {attempt.attempt}, before", text)


def _rule(attempt: AttemptRecord) -> str:
    if not attempt.rule:
        return f"{attempt.status}, closed together with the execution"
    return f"{attempt.status} ({attempt.failure_kind}), by the rule {attempt.rule!r} of the decision table"


def _service_steps(evidence: Evidence, attempt: AttemptRecord) -> Iterator[Step]:
    """Yield the texts of the services and of the container, each once."""
    job, shown = evidence.sagemaker_job, ""
    if job is not None and job.status not in ("Completed", "InProgress"):
        text = f"{job.status}: {job.failure_reason}" if job.failure_reason else job.status
        yield Step(job.ended_at, f"SageMaker job {job.name}", text)
        if job.exit_message:
            yield Step(job.ended_at, "exit message of its container", _without_object(evidence, job.exit_message))
        shown = f"{job.failure_reason}\n{job.exit_message}"
    elif attempt.sagemaker_job_name:
        status = job.status if job is not None else "not found in SageMaker, or not readable"
        yield Step(job.ended_at if job else None, f"SageMaker job {attempt.sagemaker_job_name}", status)
    # The record begins a text of SageMaker with the name of the rule.
    cause = attempt.cause.removeprefix(f"{attempt.rule}: ")
    for text in filter(None, shown.split("\n")):
        cause = cause.replace(text.partition(": ")[2] or text, "").strip("; ")
    if len(cause) > _SHORTEST_CAUSE and cause.rstrip("…") not in shown:
        yield Step(_time(attempt.ended_at), "reported", _without_object(evidence, cause))


def _without_object(evidence: Evidence, text: str) -> str:
    """Return a message up to the failure of the object that a step of its own shows."""
    found = evidence.failed_object
    if found is None or not found.reason or found.reason not in text:
        return text
    return text.partition(found.reason)[0].rstrip(": ") or text


def _object_steps(evidence: Evidence) -> Iterator[Step]:
    found = evidence.failed_object
    if found is None:
        return
    model = f", model {found.model}" if found.model else ""
    # The reason may name the place again.
    reason = found.reason.removeprefix(f"object {found.key!r}")
    reason = reason.removeprefix(f", model {found.model!r}").removeprefix(": ")
    text = reason if reason.startswith(f"{found.kind}:") else f"{found.kind}: {reason}"
    yield Step(found.moment, f"object {found.key}{model}", text)
    if found.detail:
        detail = found.detail.removeprefix(f"{found.row}: ") if found.row else found.detail
        yield Step(found.moment, f"{found.row or 'detail'}, in the log", detail)


def _end_of_execution(snapshot: Snapshot, job: JobRecord) -> Iterator[Step]:
    """Yield why a job ended that no failure of its own ended."""
    if snapshot.status == "ABORTED":
        yield Step(_ended_at(snapshot), "StopExecution", stop_text(snapshot))
        return
    yield Step(_time(job.ended_at), "reported", job.reason)
    others = [
        other
        for other in snapshot.jobs
        if other.status is JobStatus.FAILED and other.failure_kind is not FailureKind.STOPPED
    ]
    if job.failure_kind is FailureKind.STOPPED and others:
        first = min(others, key=lambda other: other.ended_at)
        yield Step(_time(first.ended_at), f"job {first.job_id}, before", first.reason)


def stop_text(snapshot: Snapshot) -> str:
    """Return that the execution was stopped by hand, and the cause that the operator gave."""
    workflow = snapshot.workflow
    said = ": ".join(text for text in (workflow.error, workflow.cause) if text) if workflow is not None else ""
    return f"stopped by hand: {said}" if said else "stopped by hand, without a cause"


def _ended_at(snapshot: Snapshot) -> datetime | None:
    if snapshot.workflow is not None:
        return snapshot.workflow.stopped_at
    return _time(snapshot.record.ended_at) if snapshot.record is not None else None


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
