"""The history of an ended execution is compressed, and read and continued as before."""

import copy
import io
import json
import pickle
from typing import Any

from embedded.ministack.state.snapshot import _Pickler
from embedded.ministack.step_functions import workflows
from embedded.ministack.step_functions.packed_history import PackedHistory

EVENTS: list[dict[str, Any]] = [
    {"id": number, "type": "TaskScheduled", "details": {"parameters": "ä" * 4_000, "timeoutInSeconds": 1.5, "x": None}}
    for number in range(1, 4)
]


def test_the_events_are_those_that_were_packed() -> None:
    packed = PackedHistory(EVENTS)
    assert list(packed) == list(copy.deepcopy(packed)) == EVENTS
    assert (len(packed), packed[-1], packed[1:]) == (3, EVENTS[-1], EVENTS[1:])
    assert bool(packed)


def test_packed_events_need_a_tenth_of_the_memory() -> None:
    assert len(PackedHistory(EVENTS)._packed) < len(json.dumps(EVENTS)) / 10


def test_a_later_event_follows_the_packed_ones() -> None:
    record: dict[str, Any] = {"events": list(EVENTS)}
    workflows.pack_history(record)
    assert isinstance(record["events"], PackedHistory)
    assert workflows.add_event(record, "ExecutionRedriven", {}, 3) == 4
    assert record["events"][:3] == EVENTS
    assert record["events"][3]["type"] == "ExecutionRedriven"


def test_a_snapshot_has_the_events_as_a_list() -> None:
    file = io.BytesIO()
    _Pickler(file).dump({"events": PackedHistory(EVENTS)})
    restored = pickle.loads(file.getvalue())  # noqa: S301 - written above
    assert restored == {"events": EVENTS}
    assert type(restored["events"]) is list
