"""Items are removed when their time to live has passed."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import dynamodb

from embedded.ministack.dynamodb import expiry
from embedded.ministack.dynamodb.expiry import install_expiry, remove_expired
from embedded.ministack.dynamodb.rows import install_packed_rows
from tests.unit.embedded.ministack.conftest import Call

NOW = time.time()
PAST, FUTURE = {"N": str(int(NOW) - 10)}, {"N": str(int(NOW) + 1000)}
ITEMS: dict[str, dict[str, Any]] = {
    "expired": {"expires": PAST},
    "fraction": {"expires": {"N": f"{int(NOW) - 10}.25"}},
    "before 1970": {"expires": {"N": "-1"}},
    "early": {"expires": FUTURE},
    "early fraction": {"expires": {"N": f"{int(NOW) + 1000}.25"}},
    "never": {},
    "text": {"expires": {"S": PAST["N"]}},
    "map": {"other": {"M": {"expires": PAST}}},
    "both": {"other": {"M": {"expires": PAST}}, "expires": FUTURE},
}


@pytest.fixture
def table(call: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("_set_item", "time"):
        monkeypatch.setattr(dynamodb, name, getattr(dynamodb, name))
    install_packed_rows()
    call(
        dynamodb, "CreateTable", TableName="table", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )  # fmt: skip
    call(
        dynamodb, "UpdateTimeToLive", TableName="table",
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"},
    )  # fmt: skip
    for key, item in ITEMS.items():
        call(dynamodb, "PutItem", TableName="table", Item={"k": {"S": key}, **item})
    yield dynamodb._tables["table"]
    dynamodb.reset()


def test_expired_items_are_removed(table: Any) -> None:
    remove_expired()
    expired = {"expired", "fraction", "before 1970"}
    assert set(table["items"]) == set(ITEMS) - expired
    assert table["ItemCount"] == len(ITEMS) - len(expired)


def test_an_item_that_is_renewed_meanwhile_stays(call: Call, table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack = expiry.unpack

    def renew(packed: bytes) -> Any:
        item = unpack(packed)
        call(dynamodb, "PutItem", TableName="table", Item={**item, "expires": FUTURE})
        return item

    monkeypatch.setattr(expiry, "unpack", renew)
    remove_expired()
    assert set(table["items"]) == set(ITEMS)


def test_items_stay_without_a_time_to_live(call: Call, table: Any) -> None:
    call(
        dynamodb, "UpdateTimeToLive", TableName="table",
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires"},
    )  # fmt: skip
    remove_expired()
    assert set(table["items"]) == set(ITEMS)


@pytest.mark.usefixtures("table")
def test_the_thread_of_ministack_removes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def remove() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("is not the end of the thread")
        raise _EndOfTestError

    def run() -> None:
        with pytest.raises(_EndOfTestError):
            dynamodb.time.sleep(0.001)

    monkeypatch.setattr(expiry, "remove_expired", remove)
    install_expiry()
    thread = threading.Thread(target=run, name="dynamodb-ttl-reaper")
    thread.start()
    thread.join(10)
    assert len(calls) == 2
    dynamodb.time.sleep(0.001)
    assert len(calls) == 2


class _EndOfTestError(BaseException):
    pass
