"""Streams honor batching windows, and keep a bounded number of records that functions have received."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ministack.services import dynamodb, lambda_svc

from embedded.ministack.dynamodb import change_records
from embedded.ministack.events import stream_records
from embedded.ministack.events.stream_records import drop_received_records, install_stream_polling
from embedded.ministack.s3.object_contents import ContentStore
from embedded.ministack.state.snapshot import restore
from tests.unit.embedded.ministack.conftest import Call


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(stream_records, "KEPT_RECORDS", 3)
    monkeypatch.setattr(stream_records, "_SLACK_RECORDS", 2)
    for module, name in ((dynamodb, "stream_records_since"), (lambda_svc, "_apply_filter_criteria")):
        monkeypatch.setattr(module, name, getattr(module, name))
    yield
    dynamodb.reset()
    lambda_svc.reset()


@pytest.fixture
def stream(call: Call) -> str:
    """Return the ARN of a stream with ten records."""
    call(
        dynamodb, "CreateTable", TableName="table", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )  # fmt: skip
    for number in range(10):
        call(dynamodb, "PutItem", TableName="table", Item={"k": {"S": str(number)}})
    return str(dynamodb._tables["table"]["LatestStreamArn"])


def left() -> list[str]:
    return [record["dynamodb"]["Keys"]["k"]["S"] for record in dynamodb.stream_live_records("table")]


def mapping(name: str, stream: str, position: int | None) -> None:
    lambda_svc._esms[name] = {"UUID": name, "EventSourceArn": stream}
    if position is not None:
        lambda_svc._dynamodb_stream_positions[name] = position


@pytest.mark.usefixtures("stream")
def test_records_without_a_reader_are_bounded() -> None:
    drop_received_records()
    assert left() == ["7", "8", "9"]
    assert (dynamodb.stream_start_position("table"), dynamodb.stream_end_position("table")) == (7, 10)
    assert dynamodb.stream_records_since("table", 0, 1)[0]["dynamodb"]["Keys"]["k"]["S"] == "7"
    drop_received_records()
    assert left() == ["7", "8", "9"]


@pytest.mark.parametrize(("positions", "first"), [((10, 4), 4), ((10, 10), 7), ((10, None), 0), ((0, 10), 0)])
def test_records_that_a_function_has_not_received_are_kept(stream: str, positions: Any, first: int) -> None:
    for number, position in enumerate(positions):
        mapping(f"m-{number}", stream, position)
    mapping("of-another-stream", f"{stream}-2", 0)
    drop_received_records()
    assert left() == [str(number) for number in range(first, 10)]
    assert dynamodb.stream_records_since("table", 8, 9)[0]["dynamodb"]["Keys"]["k"]["S"] == "8"


@pytest.mark.usefixtures("stream")
def test_the_poller_drops_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_svc, "_poll_dynamodb_streams", lambda: True)
    install_stream_polling(time_scale=1)
    assert lambda_svc._poll_dynamodb_streams() is False
    assert left() == ["7", "8", "9"]


@pytest.mark.parametrize(
    ("position", "resumes_at", "expected"),
    [(9, 0, True), (10, 0, False), (None, 0, True), (9, 9e9, False), (12, 0, False)],
)
def test_ministack_polls_only_for_functions_that_may_receive_records(
    stream: str, monkeypatch: pytest.MonkeyPatch, position: int | None, resumes_at: float, expected: bool
) -> None:
    monkeypatch.setattr(lambda_svc, "_poll_dynamodb_streams", lambda: True)
    mapping("m", stream, position)
    lambda_svc._esm_backoff_until["m"] = resumes_at
    install_stream_polling(time_scale=1)
    assert lambda_svc._poll_dynamodb_streams() is expected


def test_a_function_gets_the_records_of_its_batching_window_together(
    call: Call, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, calls, wakes = 1_000.0, [], []
    monkeypatch.setattr(stream_records.time, "time", lambda: now)
    monkeypatch.setattr(lambda_svc._esm_wake, "set", lambda: wakes.append(now))
    monkeypatch.setattr(lambda_svc, "_poll_dynamodb_streams", lambda_svc._poll_dynamodb_streams)
    monkeypatch.setattr(lambda_svc, "_get_func_record_for_qualifier", lambda *name: ({}, {}))
    monkeypatch.setattr(
        lambda_svc, "_execute_function", lambda function, event: calls.append((now, len(event["Records"]))) or {}
    )
    mapping("m", stream, 9)
    lambda_svc._esms["m"] |= {"FunctionName": "f", "BatchSize": 3, "MaximumBatchingWindowInSeconds": 10}
    install_stream_polling(time_scale=0.01)

    def poll_at(seconds: float, *, new_records: int = 0) -> None:
        nonlocal now
        now = 1_000.0 + seconds
        for number in range(new_records):
            call(dynamodb, "PutItem", TableName="table", Item={"k": {"S": f"{seconds}-{number}"}})
        lambda_svc._poll_dynamodb_streams()

    poll_at(0)
    assert calls == [], "one record waits for others"
    poll_at(0.05, new_records=1)
    assert calls == []
    poll_at(0.11)
    assert [count for _, count in calls] == [2]
    poll_at(0.2, new_records=1)
    poll_at(0.21, new_records=2)
    assert calls[1:] == [(1_000.21, 3)], "a whole batch does not wait"
    poll_at(0.3, new_records=4)
    assert calls[2:] == [(1_000.3, 3)]
    poll_at(0.31)
    assert calls[3:] == []
    poll_at(0.42)
    assert calls[3:] == [(1_000.42, 1)]


KEY_PATTERN = {"eventName": ["INSERT", "MODIFY"], "dynamodb": {"Keys": {"k": {"S": [{"prefix": "job"}]}}}}
NEW_PATTERN = {"dynamodb": {"NewImage": {"v": {"N": ["2"]}}}}


@pytest.mark.parametrize(
    ("patterns", "received", "images_read"),
    [
        ([], ["job-1", "other", "job-2", "job-1", "job-2"], 6),
        ([json.dumps(KEY_PATTERN)], ["job-1", "job-2", "job-1"], 4),
        ([json.dumps(NEW_PATTERN)], ["job-1"], 6),
        ([json.dumps(NEW_PATTERN).replace("N", "\\u004e", 1)], ["job-1"], 6),
        ([json.dumps({"dynamodb": {"OldImage": [{"exists": False}]}})], ["job-1", "other", "job-2"], 6),
        ([json.dumps(KEY_PATTERN), json.dumps(NEW_PATTERN)], ["job-1", "job-2", "job-1"], 6),
        (["not JSON"], ["job-1", "other", "job-2", "job-1", "job-2"], 6),
        ([json.dumps({"eventName": ["none"]})], [], 0),
    ],
)
def test_a_filter_gets_whole_records_and_reads_images_only_for_functions(
    call: Call, monkeypatch: pytest.MonkeyPatch, patterns: list[str], received: list[str], images_read: int
) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(stream_records, "KEPT_RECORDS", 1_000)
    for name in ("_emit_stream_event", "_trim_stream_records"):
        monkeypatch.setattr(dynamodb, name, getattr(dynamodb, name))
    monkeypatch.setattr(lambda_svc, "_poll_dynamodb_streams", lambda_svc._poll_dynamodb_streams)
    monkeypatch.setattr(lambda_svc, "_get_func_record_for_qualifier", lambda *name: ({}, {}))
    monkeypatch.setattr(lambda_svc, "_execute_function", lambda function, event: calls.extend(event["Records"]) or {})
    change_records.install_change_records()
    install_stream_polling(time_scale=1)
    table = {
        "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }
    call(dynamodb, "CreateTable", TableName="table", BillingMode="PAY_PER_REQUEST", **table)
    for key, value in (("job-1", 1), ("other", 1), ("job-2", 1), ("job-1", 2)):
        call(dynamodb, "PutItem", TableName="table", Item={"k": {"S": key}, "v": {"N": str(value)}})
    call(dynamodb, "DeleteItem", TableName="table", Key={"k": {"S": "job-2"}})
    whole = dynamodb.stream_records_since("table", 0, 100)
    assert isinstance(dynamodb._stream_records["table"], change_records.Records)
    mapping("m", dynamodb._tables["table"]["LatestStreamArn"], 0)
    filters = {"Filters": [{"Pattern": pattern} for pattern in patterns]}
    lambda_svc._esms["m"] |= {"FunctionName": "f", "FilterCriteria": filters}

    read = []
    monkeypatch.setattr(change_records, "unpack", lambda packed: read.append(packed) or json.loads(packed))
    lambda_svc._poll_dynamodb_streams()
    assert [record["dynamodb"]["Keys"]["k"]["S"] for record in calls] == received
    assert all(record in whole for record in calls)
    assert lambda_svc._dynamodb_stream_positions["m"] == 5
    assert sum(b'"v"' in packed for packed in read) == images_read


def test_a_window_does_not_shorten_the_time_after_a_failure(
    call: Call, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lambda_svc, "_poll_dynamodb_streams", lambda: True)
    mapping("m", stream, 0)
    lambda_svc._esms["m"] |= {"BatchSize": 3, "MaximumBatchingWindowInSeconds": 1}
    lambda_svc._esm_backoff_until["m"] = 9e9
    install_stream_polling(time_scale=1)
    lambda_svc._poll_dynamodb_streams()
    assert lambda_svc._esm_backoff_until["m"] == 9e9


def test_functions_receive_the_first_records_after_a_restart(call: Call, stream: str, tmp_path: Path) -> None:
    mapping("m", stream, 10)
    dynamodb._stream_records.clear()  # as in a new process
    snapshot = {"services": {}, "objects": {}, "stores": {}, "fleetscore": {}}
    restore(pickle.dumps(snapshot), ContentStore(tmp_path / "objects"))
    call(dynamodb, "PutItem", TableName="table", Item={"k": {"S": "new"}})
    position = lambda_svc._dynamodb_stream_positions["m"]
    assert [record["eventName"] for record in dynamodb.stream_records_since("table", position, 10)] == ["INSERT"]
