"""Streams keep a bounded number of records that functions have received, and all others."""

from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import dynamodb, lambda_svc

from embedded.ministack.events import stream_records
from embedded.ministack.events.stream_records import drop_received_records, install_stream_limit
from tests.unit.embedded.ministack.conftest import Call


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(stream_records, "KEPT_RECORDS", 3)
    monkeypatch.setattr(stream_records, "_SLACK_RECORDS", 2)
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
    install_stream_limit()
    assert lambda_svc._poll_dynamodb_streams() is True
    assert left() == ["7", "8", "9"]
