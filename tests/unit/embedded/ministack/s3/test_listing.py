"""Listings answer as ministack's do, without a look at all keys of the bucket."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ministack.services import s3
from ministack.services.cloudformation import provisioners

from embedded.ministack.s3.checksums import install_checksums
from embedded.ministack.s3.listing import PAGE_KEYS, Objects, collect_entries, install_listings
from embedded.ministack.s3.object_contents import ContentStore, install_objects_on_disk
from tests.unit.embedded.ministack.s3.test_checksums import CHANGED
from tests.unit.embedded.ministack.s3.test_object_contents import HOOKS, send

KEYS = st.text("ab/é\U0001f600", max_size=5)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*HOOKS, *CHANGED):
        monkeypatch.setattr(s3, name, getattr(s3, name))
    monkeypatch.setattr(s3, "DATA_DIR", str(tmp_path / "data"))
    kind = type(s3._buckets)
    install_objects_on_disk(ContentStore(tmp_path / "objects"))
    install_checksums()
    install_listings()
    send("PUT", "/bucket")
    yield
    s3.reset()
    s3._buckets.__class__ = kind


def pages(**query: Any) -> list[dict[str, list[str | None]]]:
    """Return the texts of the elements of all pages of a listing, by element."""
    found: list[dict[str, list[str | None]]] = []
    asked = {"list-type": "2", **{name.replace("_", "-"): str(value) for name, value in query.items()}}
    while True:
        answer = ET.fromstring(send("GET", "/bucket", query={name: [value] for name, value in asked.items()})[1])  # noqa: S314
        texts: dict[str, list[str | None]] = {}
        for element in answer.iter():
            texts.setdefault(element.tag.partition("}")[2], []).append(element.text)
        found.append(texts)
        if texts["IsTruncated"] == ["false"]:
            return found
        asked["continuation-token"] = str(texts["NextContinuationToken"][0])


def refusal(query: dict[str, list[str]]) -> str:
    """Return the error document of a listing that is refused."""
    status, _, content = asyncio.run(s3.handle_request("GET", "/bucket", {}, b"", query))
    assert status == 400, content
    return bytes(content).decode()


@given(st.lists(KEYS, max_size=20), st.data())
def test_rows_are_those_of_ministack(keys: list[str], data: st.DataObject) -> None:
    plain: dict[str, Any] = {}
    objects = Objects()
    for key in keys:
        if key in plain and data.draw(st.booleans()):
            assert objects.pop(key) == plain.pop(key)
        else:
            plain[key] = objects[key] = len(plain)
    objects.pop("absent", None)
    assert objects == plain
    assert objects.keys_in_order == sorted(plain)
    asked = (
        data.draw(st.text("ab/é", max_size=3)), data.draw(st.sampled_from(["", "/", "ab"])),
        data.draw(st.integers(1, 6)), data.draw(KEYS),
    )  # fmt: skip
    assert collect_entries(objects, *asked) == s3._collect_list_entries(plain, *asked)


@pytest.mark.usefixtures("bucket")
def test_pages_follow_each_other() -> None:
    keys = [f"a/{number}&<b> ü" for number in range(7)]
    for key in reversed([*keys, "b/1", "b/2", "c"]):
        send("PUT", f"/bucket/{key}", b"123")
    found = pages(max_keys=3)
    assert [page["Key"] for page in found] == [keys[:3], keys[3:6], [keys[6], "b/1", "b/2"], ["c"]]
    assert [page["KeyCount"] for page in found] == [["3"], ["3"], ["3"], ["1"]]
    [page] = pages(prefix="a/", start_after=keys[4])
    assert (page["Key"], page["Prefix"], page["StartAfter"]) == (keys[5:], ["a/"], [keys[4]])
    [page] = pages(delimiter="/")
    assert (page["Key"], page["Prefix"], page["KeyCount"]) == (["c"], [None, "a/", "b/"], ["3"])
    [page] = pages(prefix="b/", encoding_type="url", fetch_owner="true")
    assert (page["Key"], page["EncodingType"], page["DisplayName"]) == (["b/1", "b/2"], ["url"], ["ministack"] * 2)
    assert page["Size"] == ["3", "3"]
    assert page["StorageClass"] == ["STANDARD", "STANDARD"]
    assert page["ETag"] == ['"202cb962ac59075b964b07152d234b70"'] * 2


@pytest.mark.usefixtures("bucket")
def test_a_page_has_at_most_a_thousand_keys() -> None:
    [page] = pages(max_keys=PAGE_KEYS + 1)
    assert (page["MaxKeys"], page["KeyCount"]) == ([str(PAGE_KEYS)], ["0"])


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("version", [{"list-type": ["2"]}, {}])
def test_a_page_of_no_keys_is_the_last_one(version: dict[str, list[str]]) -> None:
    send("PUT", "/bucket/a", b"1")
    assert b"<IsTruncated>false</IsTruncated>" in send("GET", "/bucket", query={**version, "max-keys": ["0"]})[1]


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("version", [{"list-type": ["2"]}, {}])
@pytest.mark.parametrize("number", ["-1", "2147483648", "few"])
def test_a_wrong_number_of_keys_is_refused(version: dict[str, list[str]], number: str) -> None:
    assert "<Code>InvalidArgument</Code>" in refusal({**version, "max-keys": [number]})


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("token", ["", "garbage!", "YWI", "/w=="])
def test_a_token_of_no_page_is_refused(token: str) -> None:
    query = {"list-type": ["2"], "continuation-token": [token]}
    assert "<Message>The continuation token provided is incorrect</Message>" in refusal(query)


@pytest.mark.usefixtures("bucket")
def test_the_first_version_of_the_api_returns_a_thousand_keys_too() -> None:
    objects = s3._buckets["bucket"]["objects"]
    send("PUT", "/bucket/a", b"1")
    for number in range(PAGE_KEYS):
        objects[f"b{number}"] = objects["a"]
    content = send("GET", "/bucket", query={"max-keys": ["5000"]})[1]
    assert content.count(b"<Key>") == PAGE_KEYS
    assert b"<MaxKeys>1000</MaxKeys>" in content
    assert b"<IsTruncated>true</IsTruncated>" in content


@pytest.mark.usefixtures("bucket")
def test_deleted_and_replaced_objects_leave_the_listing() -> None:
    for key in ("a", "b", "a"):
        send("PUT", f"/bucket/{key}", b"1")
    send("DELETE", "/bucket/b")
    [page] = pages()
    assert page["Key"] == ["a"]
    assert isinstance(s3._buckets["bucket"]["objects"], Objects)


@pytest.mark.usefixtures("bucket")
def test_buckets_of_stacks_are_listed() -> None:
    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]["create"]("Bucket", {"BucketName": "of-stack"}, "stack")
    send("PUT", "/of-stack/a", b"1")
    assert b"<Key>a</Key>" in send("GET", "/of-stack", query={"list-type": ["2"]})[1]
