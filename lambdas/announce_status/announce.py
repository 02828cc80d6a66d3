"""Put an event on the stage's bus for every status that was written."""

from collections.abc import Iterable, Mapping
from typing import Any

from lambdas.announce_status.decisions import entries_of, in_calls
from lambdas.errors import EventsRefusedError


def announce_status(stream_records: Iterable[Mapping[str, Any]], *, eventbridge: Any, stage: str, bus: str) -> int:
    """Send the events of these records; returns how many. Called again it sends them again, with the same ids.

    Raises:
        EventsRefusedError: when EventBridge took not all of them, so that the stream delivers the records again.
    """
    sent = 0
    for portion in in_calls(entries_of(stream_records, stage, bus)):
        answer = eventbridge.put_events(Entries=list(portion))
        refused = [entry for entry in answer["Entries"] if "ErrorCode" in entry]
        if refused:
            raise EventsRefusedError(len(refused), len(portion), refused[0])
        sent += len(portion)
    return sent
