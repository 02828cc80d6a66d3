"""Searching logs in ministack: streams, patterns, time ranges and pages."""

from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import cloudwatch_logs

from embedded.cloudwatch import log_search
from embedded.ministack.monitoring.logs import install_filter_patterns, install_log_limit, install_log_search
from tests.unit.embedded.ministack.conftest import Call

GROUP = "/aws/sagemaker/ProcessingJobs"
START = 1_780_000_000_000
"""Milliseconds since 1970."""


@pytest.fixture
def logs(call: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a function that sends a request to a log group with 3 streams of 4 events."""
    monkeypatch.setattr(cloudwatch_logs, "_filter_log_events", cloudwatch_logs._filter_log_events)
    for name in ("_put_subscription_filter", "_subscription_pattern_matches", "_put_metric_filter"):
        monkeypatch.setattr(cloudwatch_logs, name, getattr(cloudwatch_logs, name))
    install_log_search()
    install_filter_patterns()
    call(cloudwatch_logs, "CreateLogGroup", logGroupName=GROUP)
    for number, stream in enumerate(("churn-1/algo-1", "churn-1/algo-2", "other/algo-1")):
        call(cloudwatch_logs, "CreateLogStream", logGroupName=GROUP, logStreamName=stream)
        messages = [f'{{"level": "{"ERROR" if step == 2 else "INFO"}", "step": {step}}}' for step in range(4)]
        events = [{"timestamp": START + 10 * step + number, "message": text} for step, text in enumerate(messages)]
        call(cloudwatch_logs, "PutLogEvents", logGroupName=GROUP, logStreamName=stream, logEvents=events)
    yield lambda **fields: call(cloudwatch_logs, "FilterLogEvents", **{"logGroupName": GROUP, **fields})
    cloudwatch_logs.reset()


def times(answer: dict[str, Any]) -> list[int]:
    return [event["timestamp"] - START for event in answer["events"]]


def test_a_prefix_and_a_pattern_select_events(logs: Any) -> None:
    answer = logs(logStreamNamePrefix="churn-1/", filterPattern='{ $.level = "ERROR" }')
    assert [(event["logStreamName"], event["message"]) for event in answer["events"]] == [
        ("churn-1/algo-1", '{"level": "ERROR", "step": 2}'),
        ("churn-1/algo-2", '{"level": "ERROR", "step": 2}'),
    ]
    assert "nextToken" not in answer
    assert logs(filterPattern="error")["events"] == []
    assert times(logs(logStreamNames=["other/algo-1"], startTime=START + 10, endTime=START + 22)) == [12, 22]


def test_pages_show_every_event_once_and_in_order(logs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32]
    for descending, limit, most_read in [(False, 5, 100), (True, 5, 100), (False, 100, 3)]:
        monkeypatch.setattr(log_search, "MAX_EVENTS", most_read)
        order = {"startFromHead": False, "startTime": START} if descending else {}
        page = logs(limit=min(limit, most_read), **order)
        seen = times(page)
        ids = [event["eventId"] for event in page["events"]]
        while token := page.get("nextToken"):
            page = logs(limit=min(limit, most_read), nextToken=token, **order)
            assert len(page["events"]) <= limit
            seen += times(page)
            ids += [event["eventId"] for event in page["events"]]
        assert seen == (everything[::-1] if descending else everything)
        assert len(set(ids)) == len(everything)


def test_a_page_may_be_empty_before_the_last_one(logs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "MAX_EVENTS", 6)
    first = logs(limit=6, filterPattern="ERROR")
    assert (first["events"], times(logs(limit=6, filterPattern="ERROR", nextToken=first["nextToken"]))) == (
        [],
        [20, 21, 22],
    )


def test_events_of_one_moment_keep_the_order_of_their_stream(logs: Any, call: Call) -> None:
    events = [{"timestamp": START + 99, "message": str(number)} for number in range(20)]
    call(cloudwatch_logs, "PutLogEvents", logGroupName=GROUP, logStreamName="other/algo-1", logEvents=events)
    page = logs(limit=7, startTime=START + 99)
    seen = [event["message"] for event in page["events"]]
    while token := page.get("nextToken"):
        page = logs(limit=7, startTime=START + 99, nextToken=token)
        seen += [event["message"] for event in page["events"]]
    assert seen == [str(number) for number in range(20)]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"filterPattern": "[a, b]"}, "space-delimited"),
        ({"unmask": True}, "does not support unmask"),
        ({"logStreamNames": ["other/algo-1"], "logStreamNamePrefix": "o"}, "mutually exclusive"),
        ({"logGroupIdentifier": GROUP}, "either logGroupName or logGroupIdentifier"),
        ({"limit": 10_001}, "limit must be between"),
        ({"nextToken": "abc"}, "nextToken is invalid"),
        ({"startFromHead": False}, "needs a startTime"),
    ],
)
def test_invalid_and_unsupported_requests_are_refused(logs: Any, fields: dict[str, Any], named: str) -> None:
    answer = logs(**fields)
    assert answer["__type"] == "InvalidParameterException"
    assert named in answer["message"]


def test_a_token_of_another_search_is_refused(logs: Any) -> None:
    token = logs(limit=1)["nextToken"]
    assert logs(limit=1, filterPattern="ERROR", nextToken=token)["__type"] == "InvalidParameterException"


def test_missing_groups_and_streams_are_named(logs: Any) -> None:
    assert logs(logGroupName="/no")["message"] == "The specified log group does not exist: /no"
    assert logs(logStreamNames=["none"])["message"] == "The specified log stream does not exist: none"


def test_filters_of_log_groups_are_refused_by_name(logs: Any, call: Call) -> None:
    fields = {"logGroupName": GROUP, "filterName": "f", "filterPattern": "[a, b]"}
    refused = call(cloudwatch_logs, "PutSubscriptionFilter", destinationArn="arn:aws:lambda:x", **fields)
    assert "space-delimited" in refused["message"]
    transformation = {"metricName": "m", "metricNamespace": "n", "metricValue": "1"}
    refused = call(cloudwatch_logs, "PutMetricFilter", metricTransformations=[transformation], **fields)
    assert "does not support metric filters" in refused["message"]
    assert cloudwatch_logs._subscription_pattern_matches("{ $.a = 1 }", '{"a": 1}')
    assert not cloudwatch_logs._subscription_pattern_matches("ERROR", "error")


def test_the_oldest_events_make_room_for_new_ones(logs: Any, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_append_log_events", "_log_records"):
        monkeypatch.setattr(cloudwatch_logs, name, getattr(cloudwatch_logs, name))
    install_log_limit(limit_bytes=20_000)
    names = ["long/algo-1", "long/algo-2"]
    for name in names:
        call(cloudwatch_logs, "CreateLogStream", logGroupName=GROUP, logStreamName=name)
    for number in range(50):
        events = [{"timestamp": START + 1000 + number, "message": f"{number:1000d}"}]
        call(cloudwatch_logs, "PutLogEvents", logGroupName=GROUP, logStreamName=names[number % 2], logEvents=events)
    found = logs(logStreamNames=names)["events"]
    assert [int(event["message"]) for event in found] == list(range(38, 50))
    assert not cloudwatch_logs._log_records._data
