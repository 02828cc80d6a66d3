"""How people continue after a failure: one text for all reasons."""

from contract.status import ExecutionKind
from contract.table.records import ExecutionRecord


def how_to_continue(kind: ExecutionKind, execution_id: str) -> str:
    """Return the end of a sentence that tells people what to do after they have removed a cause.

    >>> how_to_continue(ExecutionKind.SCORING, "nightly-1")
    'resume the execution: `fleetscore resume nightly-1`'
    """
    if kind is ExecutionKind.TRAINING:
        return "train again"
    return f"resume the execution: `fleetscore resume {execution_id}`"


def next_step(record: ExecutionRecord) -> str:
    """Return what continues an execution that has ended: a clause in the imperative.

    One that was never planned has nothing to resume, but it may itself resume another one.
    """
    if record.plan is not None or record.kind is ExecutionKind.TRAINING:
        return how_to_continue(record.kind, record.execution_id)
    return how_to_continue(record.kind, record.resumes) if record.resumes else "start a new execution"


def as_sentence(step: str) -> str:
    """Return a clause as a sentence of its own.

    >>> as_sentence("train again")
    'Train again.'
    """
    return f"{step[0].upper()}{step[1:]}."
