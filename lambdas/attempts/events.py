"""Reading the events of the Map's children."""

from typing import Any

from contract.codec import SCHEMA_VERSION_FIELD, from_json
from contract.workflow.messages import JobPointer

_FIELDS = (SCHEMA_VERSION_FIELD, "execution_id", "job_id", "attempt")


def job_pointer(event: dict[str, Any]) -> JobPointer:
    """The pointer out of a child's state, which holds more by then: the last decision, the attempt's plan.

    Raises:
        InvalidInputError: when a field of the pointer is missing or ill-typed.
    """
    return from_json(JobPointer, {name: event[name] for name in _FIELDS if name in event})
