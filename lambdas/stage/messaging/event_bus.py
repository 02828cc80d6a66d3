"""Put events on the stage's event bus. The only module of the functions that calls PutEvents."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contract.json_text import dump_json
from lambdas.errors import EventsRefusedError

MAX_ENTRIES = 10
"""Maximum number of events per PutEvents call."""
MAX_BYTES = 200_000
"""Maximum size of the details per PutEvents call, in bytes.

The limit of 256 KB includes the other fields of the entries.
"""


@dataclass(frozen=True)
class Event:
    """An event to send. `detail` is JSON text."""

    source: str
    detail_type: str
    detail: str

    @classmethod
    def from_json(cls, source: str, detail_type: str, detail: Any) -> "Event":
        return cls(source, detail_type, dump_json(detail))


class EventBus:
    """Sends events to one EventBridge bus."""

    def __init__(self, eventbridge: Any, bus_name: str) -> None:
        self._eventbridge = eventbridge
        self._bus_name = bus_name

    def put(self, events: Iterable[Event]) -> int:
        """Send the events and return their number.

        Raises:
            EventsRefusedError: when EventBridge did not accept all of them.
        """
        sent = 0
        for batch in batches(events):
            answer = self._eventbridge.put_events(Entries=[self._entry(event) for event in batch])
            refused = [entry for entry in answer["Entries"] if "ErrorCode" in entry]
            if refused:
                raise EventsRefusedError(len(refused), len(batch), refused[0])
            sent += len(batch)
        return sent

    def _entry(self, event: Event) -> dict[str, str]:
        return {
            "EventBusName": self._bus_name,
            "Source": event.source,
            "DetailType": event.detail_type,
            "Detail": event.detail,
        }


def batches(events: Iterable[Event]) -> Iterator[Sequence[Event]]:
    """Split the events into batches that fit into one PutEvents call, each with one detail type.

    The role may put only certain detail types, and an IAM condition compares one value per call.
    """
    batch: list[Event] = []
    size = 0
    for event in events:
        event_bytes = len(event.detail.encode())
        is_other_type = bool(batch) and batch[0].detail_type != event.detail_type
        if batch and (is_other_type or len(batch) == MAX_ENTRIES or size + event_bytes > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += event_bytes
    if batch:
        yield batch
