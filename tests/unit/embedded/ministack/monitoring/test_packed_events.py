"""Log streams whose events are packed: every answer is as before."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ministack.services import cloudwatch_logs

from embedded.ministack.monitoring.logs import install_log_limit, install_log_search
from embedded.ministack.monitoring.packed_events import IDLE_SECONDS, IdleStreams, PackedEvents, install_packed_events
from tests.unit.embedded.ministack.conftest import Call

GROUP = "/aws/sagemaker/ProcessingJobs"
START = 1_780_000_000_000
TEXTS = ["plain", "", "ü 漢 \U0001f600", '{"level": "ERROR"}', "two\nlines"]
Put = Callable[..., Any]


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def put(call: Call, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Put]:
    """Yield a function that appends the texts to a stream, and makes the other streams idle."""
    for name in ("_append_log_events", "_put_log_events", "_get_log_events", "_filter_log_events", "_log_records"):
        monkeypatch.setattr(cloudwatch_logs, name, getattr(cloudwatch_logs, name))
    install_packed_events(IdleStreams(clock))
    install_log_search()
    call(cloudwatch_logs, "CreateLogGroup", logGroupName=GROUP)

    def append(stream: str, *, start: int = START) -> Any:
        place = {"logGroupName": GROUP, "logStreamName": stream}
        if stream not in cloudwatch_logs._log_groups[GROUP]["streams"]:
            call(cloudwatch_logs, "CreateLogStream", **place)
        events = [{"timestamp": start + number, "message": text} for number, text in enumerate(TEXTS)]
        clock.seconds += IDLE_SECONDS
        return call(cloudwatch_logs, "PutLogEvents", **place, logEvents=events)

    yield append
    cloudwatch_logs.reset()


def events_of(stream: str) -> Any:
    return cloudwatch_logs._log_groups[GROUP]["streams"][stream]["events"]


def test_events_of_an_idle_stream_are_packed_and_found_as_before(put: Put, call: Call) -> None:
    put("first")

    def answers() -> list[Any]:
        place = {"logGroupName": GROUP, "logStreamName": "first"}
        return [
            call(cloudwatch_logs, "FilterLogEvents", logGroupName=GROUP, logStreamNames=["first"]),
            call(cloudwatch_logs, "FilterLogEvents", logGroupName=GROUP, logStreamNamePrefix="fi", filterPattern="two"),
            call(cloudwatch_logs, "DescribeLogStreams", logGroupName=GROUP, logStreamNamePrefix="first"),
            call(cloudwatch_logs, "GetLogEvents", **place, startFromHead=True, limit=4),
            call(cloudwatch_logs, "GetLogEvents", **place, startTime=START + 2),
        ]

    before = answers()
    put("second")
    assert isinstance(events_of("first"), PackedEvents)
    assert answers() == before
    assert isinstance(events_of("first"), list), "a stream that somebody reads is unpacked"
    assert isinstance(events_of("second"), list)


def test_events_are_appended_to_a_packed_stream_in_order(put: Put, call: Call) -> None:
    put("first")
    put("second")
    assert put("first", start=START + 100) == {"nextSequenceToken": "3"}
    put("second")
    assert put("first", start=START - 100) == {"nextSequenceToken": "4"}
    found = call(cloudwatch_logs, "FilterLogEvents", logGroupName=GROUP, logStreamNames=["first"])["events"]
    assert [event["message"] for event in found] == TEXTS * 3
    assert [event["timestamp"] - START for event in found] == [
        first + number for first in (-100, 0, 100) for number in range(len(TEXTS))
    ]
    assert len({event["eventId"] for event in found}) == len(found)


def test_refusals_are_ministacks(put: Put, call: Call) -> None:
    put("first")
    for group, stream, expected in ((GROUP, "missing", "stream does not exist"), ("none", "first", "group does not")):
        answer = call(cloudwatch_logs, "PutLogEvents", logGroupName=group, logStreamName=stream, logEvents=[])
        assert expected in answer["message"]


def test_insights_finds_packed_events(put: Put, call: Call) -> None:
    put("first")
    put("second")
    assert isinstance(events_of("first"), PackedEvents)
    query = {"logGroupName": GROUP, "startTime": START // 1000, "endTime": START // 1000 + 1}
    started = call(cloudwatch_logs, "StartQuery", **query, queryString="fields @message | limit 100")
    results = call(cloudwatch_logs, "GetQueryResults", queryId=started["queryId"])["results"]
    assert len(results) == 2 * len(TEXTS)


def test_packed_events_are_small_and_shared_by_copies() -> None:
    events = [
        {
            "timestamp": START + n,
            "message": f'{{"level": "INFO", "rows": {n}}}',
            "ingestionTime": START,
            "eventId": f"{n:056d}",
        }
        for n in range(50)
    ]
    packed = PackedEvents(events)
    assert (list(packed), len(packed), packed[-1], packed[3:5]) == (events, 50, events[-1], events[3:5])
    assert copy.deepcopy({"events": packed})["events"] is packed
    assert len(packed._packed) < 1_000


def test_the_oldest_events_of_a_packed_stream_make_room(put: Put, call: Call) -> None:
    install_log_limit(limit_bytes=5_000)
    put("first")
    put("second")
    assert isinstance(events_of("first"), PackedEvents)
    assert [len(events_of(stream)) for stream in ("first", "second")] == [0, len(TEXTS)]
