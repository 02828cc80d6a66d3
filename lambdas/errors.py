"""What goes wrong in the functions. The class names are what the workflow catches and operators read."""

from collections.abc import Mapping, Sequence

from contract.problems import Problem

_SHOWN_PROBLEMS = 50
_SHOWN_CHARACTERS = 400
_SHOWN_NAMES = 5


class FleetscoreError(Exception):
    """Base of every error that these functions raise on purpose."""


class InvalidRequestError(FleetscoreError):
    """The request cannot be planned; the message lists every problem found. Asking again the same way cannot help."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @classmethod
    def from_problems(cls, problems: Sequence[Problem]) -> "InvalidRequestError":
        count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
        lines = [f"The request was refused with {count}:"]
        lines += [f"- {shorten(str(problem), _SHOWN_CHARACTERS)}" for problem in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            lines.append(f"- and {len(problems) - _SHOWN_PROBLEMS:,} more")
        return cls("\n".join(lines))


class ExecutionNameUsedError(FleetscoreError):
    """Another execution of the same name left its records; writing over them would lose what it did."""

    def __init__(self, execution_id: str, recorded: str, started_at: str) -> None:
        super().__init__(
            f"execution {execution_id!r}: its records say that it started at {recorded}, this one started at "
            f"{started_at}. Start the execution again under another name."
        )


class ExecutionNotFoundError(FleetscoreError):
    """The execution has no record, so nothing can be said about its jobs."""

    def __init__(self, execution_id: str) -> None:
        super().__init__(
            f"execution {execution_id!r} has no record in the table. It may have expired, or the functions and the "
            "table are of different deployments: deploy all stacks of one stage, then start a new execution."
        )


class ExecutionClosedError(FleetscoreError):
    """The execution has ended already; a finished record is never opened again."""

    def __init__(self, execution_id: str, status: str) -> None:
        super().__init__(f"execution {execution_id!r} is {status} already. Start a new execution.")


class PlanChangedError(FleetscoreError):
    """What lies at a place of the plan is not what would be planned now; a mix of both would score what no record says.

    An earlier call of the plan wrote it before the catalog or a dataset changed, or an earlier execution of this name
    did, whose records have expired.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"{uri} was written before and differs from what would be planned now: models or objects have changed "
            "since. Start the execution again under another name."
        )


class JobNotFoundError(FleetscoreError):
    """The job has no record, though the plan writes one for each job before the first attempt."""

    def __init__(self, execution_id: str, job_id: str) -> None:
        super().__init__(
            f"job {job_id!r} of execution {execution_id!r} has no record in the table. It may have expired: "
            "start a new execution."
        )


class JobClosedError(FleetscoreError):
    """The job has ended already: the event is late or came twice."""

    def __init__(self, execution_id: str, job_id: str, status: str) -> None:
        super().__init__(
            f"job {job_id!r} of execution {execution_id!r} is {status} already and is not opened again. "
            "Start a new execution to score its models once more."
        )


class StaleEventError(FleetscoreError):
    """The event is about another attempt than the one that the job is in."""

    def __init__(self, job_id: str, attempt: int, status: str, current: int) -> None:
        super().__init__(
            f"job {job_id!r}: this event is about attempt {attempt}, but the job is {status} in attempt {current}. "
            "Nothing to do: the workflow goes on with the current attempt."
        )


class OutputIncompleteError(FleetscoreError):
    """The processing job ended well, but the ledger and the outputs in S3 do not cover every pinned object."""

    def __init__(self, job_id: str, missing: Sequence[str], expected: int) -> None:
        super().__init__(
            f"job {job_id!r}: {len(missing):,} of {expected:,} commits are missing or without their outputs: "
            f"{_listed(missing, '; ')}. Another attempt scores these objects again."
        )


class ObjectReplacedError(FleetscoreError):
    """Objects of the dataset are not the pinned ones any more, so nobody can say which were scored or learned from."""

    def __init__(self, job_id: str, replaced: Sequence[str]) -> None:
        super().__init__(
            f"job {job_id!r}: {len(replaced):,} objects of its dataset were replaced or removed while it was read: "
            f"{_listed(replaced, '; ')}. Let uploads end, then start a new execution."
        )


class TrainingFailedError(FleetscoreError):
    """The training that the request asked for did not succeed, and the request does not score without it."""

    def __init__(self, execution_id: str, why: str) -> None:
        super().__init__(
            f"The training execution {execution_id!r} did not succeed, so nothing was scored: {why.rstrip('.')}. Mend "
            f"what it names (see `fleetscore status {execution_id}`), then start a new execution, or set "
            "train.continue_on_failure to score with the versions that are current."
        )


class ArtifactMissingError(FleetscoreError):
    """The training job ended well, but left no artifact."""

    def __init__(self, job_id: str, uri: str) -> None:
        super().__init__(f"job {job_id!r}: there is no artifact at {uri}. Another attempt trains the model again.")


class TrainedArtifactError(FleetscoreError):
    """What the training job made is not the model that it was asked for, so it becomes no version."""

    def __init__(self, job_id: str, problems: Sequence[str]) -> None:
        super().__init__(
            f"job {job_id!r}: its artifact becomes no version: {_listed(problems, '; ')}. Correct the recipe or the "
            "training script, then train again."
        )


class ModelContendedError(FleetscoreError):
    """Others change the model's current version faster than a new version can be held against it; later it works."""

    def __init__(self, model_id: str) -> None:
        super().__init__(f"model {model_id!r} was changed by others each time. It is registered again.")


class EventsRefusedError(FleetscoreError):
    """EventBridge did not take every event; the stream delivers their records again."""

    def __init__(self, refused: int, sent: int, first: Mapping[str, str]) -> None:
        super().__init__(
            f"EventBridge refused {refused:,} of {sent:,} events: {first.get('ErrorCode')}: "
            f"{first.get('ErrorMessage', '')}. They are sent again."
        )


class UploadsContendedError(FleetscoreError):
    """Windows of a dataset open and close faster than an upload can join one; later it can."""

    def __init__(self, dataset: str) -> None:
        super().__init__(
            f"dataset {dataset!r}: no window could be joined, others changed them each time. The messages are "
            "delivered again; if this stays, raise window_seconds."
        )


class UnreadableMessageError(FleetscoreError):
    """A message of the uploads' queue is none that we know; it goes to the dead-letter queue."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}. Expected S3's 'Object Created' event of this stage's datasets bucket, as EventBridge sends it. "
            "The message goes to the dead-letter queue."
        )


def _listed(names: Sequence[str], separator: str) -> str:
    shown = separator.join(names[:_SHOWN_NAMES])
    return shown if len(names) <= _SHOWN_NAMES else f"{shown}{separator}and {len(names) - _SHOWN_NAMES:,} more"


def shorten(text: str, characters: int) -> str:
    """The text, cut to so many characters, with an ellipsis where something is missing."""
    return text if len(text) <= characters else text[: characters - 1] + "…"
