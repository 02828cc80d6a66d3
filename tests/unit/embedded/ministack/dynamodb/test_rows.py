"""Items are kept as JSON texts, and read as if they were objects."""

import copy
import pickle
from typing import Any

import pytest
from ministack.services import dynamodb

from embedded.ministack.dynamodb.ministack_module import check_names
from embedded.ministack.dynamodb.rows import Rows, install_packed_rows, pack
from embedded.ministack.errors import MinistackChangedError

ITEM = {"pk": {"S": "p"}, "text": {"S": 'ü " \n'}, "map": {"M": {"n": {"N": "1"}}}, "list": {"L": [{"BOOL": True}]}}


@pytest.fixture
def rows() -> Rows:
    made = Rows()
    made["a"] = ITEM
    made.update({"b": {"pk": {"S": "q"}}})
    return made


def test_rows_are_read_as_objects(rows: Rows) -> None:
    assert rows["a"] == rows.get("a") == rows.setdefault("a") == ITEM
    assert rows.get("c") is None
    assert rows.get("c", 1) == 1
    assert [*rows] == ["a", "b"]
    assert rows.values() == [ITEM, {"pk": {"S": "q"}}]
    assert rows.items() == [("a", ITEM), ("b", {"pk": {"S": "q"}})]
    assert dict(rows) == {**rows} == {"a": ITEM, "b": {"pk": {"S": "q"}}} == rows
    assert rows == copy.deepcopy(rows)
    assert rows != Rows()


def test_readers_get_copies(rows: Rows) -> None:
    rows["a"]["text"]["S"] = "other"
    assert rows["a"] == ITEM
    copied = copy.deepcopy(rows)
    copied["a"] = {}
    assert rows["a"] == ITEM


def test_items_are_removed(rows: Rows) -> None:
    assert rows.pop("a") == ITEM
    assert rows.pop("a", None) is None
    with pytest.raises(KeyError):
        rows.pop("a")
    del rows["b"]
    assert not rows


def test_rows_are_pickled_as_texts(rows: Rows) -> None:
    pickled = pickle.dumps(rows)
    assert pack(ITEM) in pickled
    restored = pickle.loads(pickled)  # noqa: S301
    assert type(restored) is Rows
    assert restored == rows
    assert restored.packed("a") == pack(ITEM)


def test_items_of_older_snapshots_are_packed_at_the_next_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "_set_item", dynamodb._set_item)
    install_packed_rows()
    table: dict[str, Any] = {"items": {"p": {"a": ITEM}}, "ItemCount": 1}
    assert dynamodb._set_item(table, "p", "b", ITEM) is None
    assert dynamodb._set_item(table, "p", "b", {}) == ITEM
    assert type(table["items"]["p"]) is Rows
    assert table["items"]["p"] == {"a": ITEM, "b": {}}
    assert table["ItemCount"] == 2


def test_another_ministack_is_detected() -> None:
    with pytest.raises(MinistackChangedError, match="no _missing"):
        check_names("_tables", "_missing")
