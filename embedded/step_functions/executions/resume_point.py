"""Where unsuccessful executions continue when they are redriven."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finished:
    """The result of a branch or iteration that succeeded. A redrive keeps it."""

    result: Any


@dataclass(frozen=True)
class ResumePoint:
    """The state at which a branch ended unsuccessfully.

    Args:
        state: Name of the state.
        data: Raw input of the state.
        entered: Id of the event with which the state was entered.
        variables: The variables that were assigned before the state.
        parts: What a state that fans out had done: one `Finished`, `ResumePoint` or None (not
            started) per branch or iteration, or a distributed Map's Map Run. None repeats the whole
            state.
    """

    state: str
    data: Any
    entered: int
    variables: dict[str, Any] = field(default_factory=dict)
    parts: Any = None


Part = Finished | ResumePoint | None
