"""Errors of the functions. The workflow's Retry and Catch list these class names, and operators
read the messages."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from contract.control_characters import replace_control_characters
from contract.pool.pool_records import Lease
from contract.problems import Problem
from contract.table.records import ExecutionRecord
from lambdas.continuing import as_sentence, next_step
from lambdas.shown_text import list_first, shorten

_MAX_PROBLEMS = 50
_MAX_PROBLEM_CHARACTERS = 600
_LISTED_NAMES = 5
LISTED_FILES = 3
"""Number of unexpected files that a message names."""
MAX_COUNTED_FILES = 10_000
"""Largest number of unexpected files that is counted, because more cannot change the result."""
_MAX_KEY_CHARACTERS = 100
_MAX_WHY_CHARACTERS = 200


class FleetscoreError(Exception):
    """Base class of every error that the functions raise on purpose. Its text is safe to print."""

    def __init__(self, text: str) -> None:
        super().__init__(replace_control_characters(text))


class InvalidRequestError(FleetscoreError):
    """The request cannot be planned; the message lists every problem. A retry of the same request
    cannot help."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = str(self)

    @classmethod
    def from_problems(cls, problems: Sequence[Problem]) -> "InvalidRequestError":
        count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
        lines = [f"The request was refused with {count}:"]
        lines += [f"- {shorten(str(problem), _MAX_PROBLEM_CHARACTERS)}" for problem in problems[:_MAX_PROBLEMS]]
        if len(problems) > _MAX_PROBLEMS:
            lines.append(f"- and {len(problems) - _MAX_PROBLEMS:,} more")
        return cls("\n".join(lines))


class ExecutionNameUsedError(FleetscoreError):
    """Another execution with the same name left its records, which must not be overwritten."""

    def __init__(self, execution_id: str, recorded: str, started_at: str) -> None:
        super().__init__(
            f"execution {execution_id!r}: its records say that it started at {recorded}, this one started at "
            f"{started_at}. Start the execution again with another name."
        )


class ExecutionNotFoundError(FleetscoreError):
    """The execution has no record."""

    def __init__(self, execution_id: str) -> None:
        super().__init__(
            f"execution {execution_id!r} has no record in the table. It may have expired, or the functions and the "
            "table are of different deployments: deploy all stacks of one stage, then start a new execution."
        )


class ExecutionClosedError(FleetscoreError):
    """The execution has already ended. A final record is never opened again."""

    def __init__(self, record: ExecutionRecord) -> None:
        super().__init__(
            f"execution {record.execution_id!r} is already {record.status}. {as_sentence(next_step(record))}"
        )


class ClosingUnfinishedError(FleetscoreError):
    """There was no time to close all jobs of an execution that has ended. A retry continues."""

    def __init__(self, execution_id: str, still_open: int, jobs: int) -> None:
        super().__init__(
            f"execution {execution_id!r}: {still_open:,} of its {jobs:,} jobs are still open, because the function's "
            "time was running out. Another call continues, at the latest with the next reconciliation."
        )


class ReconciliationError(FleetscoreError):
    """The records of executions that have ended could not be closed. A retry helps if the cause passes."""

    def __init__(self, execution_ids: Sequence[str]) -> None:
        super().__init__(
            f"the records of {len(execution_ids):,} executions could not be closed: {_list(execution_ids)}. The "
            "function's log has the reasons; the next reconciliation tries again."
        )


class PlanChangedError(FleetscoreError):
    """A file of the plan exists and differs from the new plan. Two plans must not be mixed.

    Either an earlier call wrote the file before the catalog or a dataset changed. Or an earlier
    execution with this name wrote it, and its records have expired.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"{uri} already exists and differs from the new plan: models or objects have changed since it was "
            "written. Start the execution again with another name."
        )


class JobNotFoundError(FleetscoreError):
    """The job has no record, although the plan writes one per job before the first attempt."""

    def __init__(self, execution_id: str, job_id: str) -> None:
        super().__init__(
            f"job {job_id!r} of execution {execution_id!r} has no record in the table. It may have expired: "
            "start a new execution."
        )


class JobClosedError(FleetscoreError):
    """The job has already ended: the event is late or a duplicate."""

    def __init__(self, execution_id: str, job_id: str, status: str) -> None:
        super().__init__(
            f"job {job_id!r} of execution {execution_id!r} is already {status} and is not opened again. "
            f"Continue a scoring execution with `fleetscore resume {execution_id}`."
        )


class StaleEventError(FleetscoreError):
    """The event is about another attempt than the job's current one."""

    def __init__(self, job_id: str, attempt: int, status: str, current: int) -> None:
        super().__init__(
            f"job {job_id!r}: this event is about attempt {attempt}, but the job is {status} in attempt {current}. "
            "Nothing to do: the workflow continues with the current attempt."
        )


class JobStillRunningError(FleetscoreError):
    """The SageMaker job of a failed attempt has not ended, so no other attempt may start."""

    def __init__(self, name: str, status: str) -> None:
        super().__init__(
            f"SageMaker job {name!r}: the workflow stopped waiting for it and asked it to stop, but its status is "
            f"{status}. Another attempt may start only when it has ended."
        )


class ResumedJobRunningError(FleetscoreError):
    """SageMaker jobs of the continued execution have not ended, so they may still commit objects."""

    def __init__(self, execution_id: str, running: Sequence[tuple[str, str]]) -> None:
        """`running` are the names of the jobs, each with its status."""
        shown = _list([f"{name} ({status})" for name, status in running])
        super().__init__(
            f"execution {execution_id!r} has ended, but {len(running):,} of its SageMaker jobs have not: {shown}. Wait "
            "for their end, or stop them with `aws sagemaker stop-processing-job --processing-job-name …`, then "
            "try again."
        )


class KeptOutputsLeftError(FleetscoreError):
    """The function's time ends before all outputs that a job keeps are copied. The next call continues."""

    def __init__(self, job_id: str, copied: int) -> None:
        super().__init__(f"job {job_id!r}: {copied:,} commits are kept so far. The next call copies the rest.")


class QuotaTooSmallError(FleetscoreError):
    """The quota is below the instances of one job, so no wait can help."""

    def __init__(self, job_id: str, lease: Lease, quota: int, source: str) -> None:
        super().__init__(
            f"job {job_id!r}: it needs {lease.instances:,} of {lease.instance_type} for a {lease.kind.words}, and the "
            f"quota is {quota:,} ({source})"
        )


class CapacityWaitEndedError(FleetscoreError):
    """The job has waited for instances for as long as it may."""

    def __init__(self, job_id: str, waiting_for: str, why: str) -> None:
        super().__init__(f"job {job_id!r} waits no longer for {waiting_for}: {why}")


class PoolContendedError(FleetscoreError):
    """Every try to release a lease conflicted with a concurrent call. A retry helps."""

    def __init__(self, sagemaker_job_name: str) -> None:
        super().__init__(
            f"the lease of job {sagemaker_job_name!r} is still there: every try conflicted with a concurrent call. The "
            "event about the job's end, or the schedule of Reconcile, releases it."
        )


class ToleranceExceededError(FleetscoreError):
    """More of the execution has failed than it tolerates, so it starts no new attempts."""

    def __init__(self, passed_level: str) -> None:
        super().__init__(f"the execution starts no new jobs, because a tolerated level is passed: {passed_level}")


class OutputIncompleteError(FleetscoreError):
    """The processing job succeeded, but the ledger and the outputs in S3 do not cover every pinned
    object."""

    def __init__(self, job_id: str, missing: Sequence[str], count: int, expected: int) -> None:
        """`missing` are the first of the `count` missing commits."""
        shown = list_first(missing, _LISTED_NAMES, separator="; ", count=count)
        super().__init__(
            f"job {job_id!r}: {count:,} of {expected:,} commits are missing or differ from the outputs in S3: {shown}"
        )


class UnexpectedFile(NamedTuple):
    """A file in a job's output that none of its commits names."""

    path: str
    """Its area and its key below the job's prefix: "<area>/<key>"."""
    why: str = ""
    """Why it is not expected, if the path does not show it."""


class UnexpectedOutputError(FleetscoreError):
    """Below the job's own prefixes there are files that none of its commits names.

    The container writes only what it commits, so code of a model wrote them. `files` are the first
    `LISTED_FILES` of them, and `count` is their number.
    """

    def __init__(self, job_id: str, files: Sequence[UnexpectedFile], count: int) -> None:
        shown = [
            repr(shorten(file.path, _MAX_KEY_CHARACTERS))
            + (f" ({shorten(file.why, _MAX_WHY_CHARACTERS)})" if file.why else "")
            for file in files
        ]
        more = ["and more"] if count > len(shown) else []
        counted = "1 file" if count == 1 else f"{min(count, MAX_COUNTED_FILES):,} files"
        counted = f"more than {counted}" if count > MAX_COUNTED_FILES else counted
        super().__init__(
            f"job {job_id!r}: no commit names {counted} in the job's output: {'; '.join([*shown, *more])}. Written by "
            "code of a model, by an earlier attempt, or by an earlier execution with the same name"
        )


class ObjectReplacedError(FleetscoreError):
    """Pinned objects were replaced or removed, so it is unknown which content was scored or trained
    on."""

    def __init__(self, job_id: str, replaced: Sequence[str], step: str = "train again") -> None:
        super().__init__(
            f"job {job_id!r}: {len(replaced):,} objects of its dataset were replaced or removed while it was read: "
            f"{_list(replaced)}. Let uploads end, then {step}."
        )


class TrainingFailedError(FleetscoreError):
    """The training that the request asked for failed, and the request does not continue on failure."""

    def __init__(self, execution_id: str, why: str) -> None:
        super().__init__(
            f"The training execution {execution_id!r} did not succeed, so nothing was scored: {why.rstrip('.')}. Fix "
            f"the cause (see `fleetscore status {execution_id}`), then start a new execution, or set "
            "train.continue_on_failure to score with the current versions."
        )


class ArtifactMissingError(FleetscoreError):
    """The training job succeeded but left no artifact."""

    def __init__(self, job_id: str, uri: str) -> None:
        super().__init__(f"job {job_id!r}: there is no artifact at {uri}. Another attempt trains the model again.")


class TrainedArtifactError(FleetscoreError):
    """The trained artifact is not what the spec asked for, so it is not registered as a version."""

    def __init__(self, job_id: str, problems: Sequence[str]) -> None:
        super().__init__(
            f"job {job_id!r}: its artifact is not registered: {_list(problems)}. Correct the recipe or the training "
            "script, then train again."
        )


class ModelContendedError(FleetscoreError):
    """Every try to compare a new version with the current one conflicted with a concurrent change.

    A retry helps.
    """

    def __init__(self, model_id: str) -> None:
        super().__init__(
            f"model {model_id!r}: every try conflicted with a concurrent change. The registration is retried."
        )


class EventsRefusedError(FleetscoreError):
    """EventBridge did not accept every event. The stream delivers their records again."""

    def __init__(self, refused: int, sent: int, first: Mapping[str, str]) -> None:
        super().__init__(
            f"EventBridge refused {refused:,} of {sent:,} events: {first.get('ErrorCode')}: "
            f"{first.get('ErrorMessage', '')}. They are sent again."
        )


class UploadsContendedError(FleetscoreError):
    """The dataset's windows open and close faster than an upload can join one. A retry helps."""

    def __init__(self, dataset: str) -> None:
        super().__init__(
            f"dataset {dataset!r}: no window could be joined, because every try conflicted with a concurrent change. "
            "The messages are delivered again; if this continues, raise window_seconds."
        )


class UnreadableMessageError(FleetscoreError):
    """A message of the uploads' queue cannot be read. It goes to the dead-letter queue."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}. Expected S3's 'Object Created' event of this stage's datasets bucket, as EventBridge sends it. "
            "The message goes to the dead-letter queue."
        )


def _list(names: Sequence[str]) -> str:
    return list_first(names, _LISTED_NAMES, separator="; ")
