"""How people continue after a failure: one text for all reasons."""

from contract.status import ExecutionKind


def how_to_continue(kind: ExecutionKind, execution_id: str) -> str:
    """Return the end of a sentence that tells people what to do after they have removed a cause.

    >>> how_to_continue(ExecutionKind.SCORING, "nightly-1")
    'resume the execution: `fleetscore resume nightly-1`'
    """
    if kind is ExecutionKind.TRAINING:
        return "train again"
    return f"resume the execution: `fleetscore resume {execution_id}`"
