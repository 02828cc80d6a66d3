"""State machines whose tasks wait for a token, as resources of SendTask requests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

_waiting: dict[str, str] = {}
"""ARN of the state machine by task token."""


@contextmanager
def waiting(token: str, state_machine_arn: str) -> Iterator[None]:
    """Let the token belong to the state machine while a task waits for it."""
    _waiting[token] = state_machine_arn
    try:
        yield
    finally:
        _waiting.pop(token, None)


def resource_arn(operation: str, body: bytes, region: str, account_id: str) -> str:
    """Return the ARN of the state machine that waits; empty for other operations.

    A token for which no task waits belongs to a state machine without a name.
    """
    if not operation.startswith("SendTask"):
        return ""
    try:
        token = json.loads(body or b"{}").get("taskToken")
    except (ValueError, AttributeError):
        token = None
    return _waiting.get(str(token), f"arn:aws:states:{region}:{account_id}:stateMachine:")
