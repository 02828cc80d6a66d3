"""The lines of a function's calls are in one stream per worker process."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from ministack.services import cloudwatch_logs, lambda_svc

from embedded.ministack.functions import log_streams
from embedded.ministack.functions.log_streams import LogStream, answers_from, install_log_streams
from tests.unit.embedded.ministack.conftest import Call

FUNCTION = {"config": {"FunctionName": "f", "Version": "$LATEST", "MemorySize": 256}}
GROUP = "/aws/lambda/f"


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that writes the log of a call."""
    monkeypatch.setattr(lambda_svc, "_emit_lambda_logs", lambda_svc._emit_lambda_logs)
    install_log_streams()

    def write_log(request_id: str, log: str, stream: LogStream | None, function: Any = FUNCTION) -> None:
        if stream is not None:
            answers_from(stream)
        lambda_svc._emit_lambda_logs(function, request_id, log, False, 12)

    yield write_log
    cloudwatch_logs.reset()


def messages(call: Call, group: str = GROUP) -> dict[str, list[str]]:
    """Return the messages by stream."""
    names = [
        each["logStreamName"] for each in call(cloudwatch_logs, "DescribeLogStreams", logGroupName=group)["logStreams"]
    ]
    return {
        name: [
            event["message"]
            for event in call(cloudwatch_logs, "GetLogEvents", logGroupName=group, logStreamName=name)["events"]
        ]
        for name in names
    }


def test_calls_of_a_worker_write_to_one_stream(write: Callable[..., None], call: Call) -> None:
    first, second = LogStream(), LogStream()
    write("1", "one\ntwo", first)
    write("2", "", first)
    write("3", "three", second)

    found = messages(call)
    day = f"{datetime.now(UTC):%Y/%m/%d}"
    assert all(re.fullmatch(rf"{day}/\[\$LATEST\][0-9a-f]{{32}}", name) for name in found)
    lines = sorted(found.values(), key=len, reverse=True)
    assert [[line.split("\t")[0] for line in each] for each in lines] == [
        [
            "START RequestId: 1 Version: $LATEST", "one", "two", "END RequestId: 1", "REPORT RequestId: 1",
            "START RequestId: 2 Version: $LATEST", "END RequestId: 2", "REPORT RequestId: 2",
        ],
        ["START RequestId: 3 Version: $LATEST", "three", "END RequestId: 3", "REPORT RequestId: 3"],
    ]  # fmt: skip


def test_lines_are_those_of_ministack(write: Callable[..., None], call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_svc, "_probe_peak_memory_mb", lambda _function: 70)
    for stream in (LogStream(), None):
        write("1", "one\n\ntwo", stream)
    own, of_ministack = messages(call).values()
    assert own == of_ministack


def test_a_call_without_a_worker_has_its_own_stream(write: Callable[..., None], call: Call) -> None:
    write("1", "one", LogStream())
    write("2", "two", None)
    assert len(messages(call)) == 2


def test_a_stream_ends_after_many_calls(
    write: Callable[..., None], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_streams, "STREAM_CALLS", 2)
    stream = LogStream()
    for number in range(5):
        write(str(number), "", stream)
    assert sorted(map(len, messages(call).values())) == [3, 6, 6]


def test_the_group_of_the_function_is_used(write: Callable[..., None], call: Call) -> None:
    config = {**FUNCTION["config"], "LoggingConfig": {"LogGroup": "shared"}, "Version": "7"}
    write("1", "one", LogStream(), {"config": config})
    [(name, lines)] = messages(call, "shared").items()
    assert "/[7]" in name
    assert lines[0] == "START RequestId: 1 Version: 7"
