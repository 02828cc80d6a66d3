"""Contents of objects and versions are in files, and not in memory: small ones share files."""

import asyncio
import gc
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from ministack.services import s3

from embedded.ministack.s3 import object_contents
from embedded.ministack.s3.object_contents import Content, ContentStore, install_objects_on_disk

HOOKS = (
    "_persist_object", "_persist_displaced_version", "_persist_delete_marker", "_delete_persisted_object",
    "_delete_persisted_bucket", "_delete_version_file", "_read_body", "_version_body", "_version_entry_from_record",
    "S3_PERSIST",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ContentStore]:
    for name in HOOKS:
        monkeypatch.setattr(s3, name, getattr(s3, name))
    monkeypatch.setattr(s3, "DATA_DIR", str(tmp_path / "data"))
    made = ContentStore(tmp_path / "objects")
    install_objects_on_disk(made)
    yield made
    s3.reset()


def send(method: str, path: str, body: bytes = b"", query: Any = None, **headers: str) -> tuple[dict[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    status, answered, answer = asyncio.run(s3.handle_request(method, path, named, body, query or {}))
    assert status < 300, answer
    return {name.lower(): value for name, value in answered.items()}, bytes(answer)


@pytest.fixture
def own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each content have a file of its own, as large ones have."""
    monkeypatch.setattr(object_contents, "_SMALL_BYTES", -1)


def files(store: ContentStore) -> list[bytes]:
    gc.collect()
    return sorted(file.read_bytes() for file in store.folder.iterdir())


@pytest.mark.usefixtures("own_files")
def test_contents_are_in_private_files_that_end_with_their_objects(store: ContentStore) -> None:
    send("PUT", "/bucket")
    for key in ("a", "A", "a/b", "..", "x" * 300):
        send("PUT", f"/bucket/{key}", key.encode())
    send("PUT", "/bucket/a", b"new")
    send("PUT", "/bucket/copy", x_amz_copy_source="/bucket/a/b")
    assert files(store) == sorted([b"new", b"A", b"a/b", b"a/b", b"..", b"x" * 300])
    assert {file.stat().st_mode & 0o777 for file in store.folder.iterdir()} == {0o600}
    assert [send("GET", f"/bucket/{key}")[1] for key in ("a", "A", "a/b", "copy")] == [b"new", b"A", b"a/b", b"a/b"]
    assert send("GET", "/bucket/a", range="bytes=1-2")[1] == b"ew"
    assert all(item["body"] is None for item in s3._buckets["bucket"]["objects"].values())
    for key in ("a", "A", "a/b", "..", "x" * 300, "copy"):
        send("DELETE", f"/bucket/{key}")
    send("DELETE", "/bucket")
    assert files(store) == []


def test_small_contents_share_a_private_file_that_ends_with_the_last_object(store: ContentStore) -> None:
    send("PUT", "/bucket")
    bodies = {"a": b"first", "empty": b"", "b": b"second"}
    for key, body in bodies.items():
        send("PUT", f"/bucket/{key}", body)
    send("PUT", "/bucket/large", b"x" * 65_537)
    assert files(store) == [b"firstsecond", b"x" * 65_537]
    assert {file.stat().st_mode & 0o777 for file in store.folder.iterdir()} == {0o600}
    send("PUT", "/bucket/a", b"new")
    send("PUT", "/bucket/copy", x_amz_copy_source="/bucket/b")
    assert {key: send("GET", f"/bucket/{key}")[1] for key in (*bodies, "copy")} == {
        "a": b"new",
        "empty": b"",
        "b": b"second",
        "copy": b"second",
    }
    assert send("GET", "/bucket/b", range="bytes=1-2")[1] == b"ec"
    for key in ("a", "empty", "b", "large"):
        send("DELETE", f"/bucket/{key}")
    assert files(store) == [b"firstsecondnewsecond"]
    send("DELETE", "/bucket/copy")
    assert files(store) == []
    send("PUT", "/bucket/a", b"again")
    assert (files(store), send("GET", "/bucket/a")[1]) == ([b"again"], b"again")


def test_a_full_shared_file_gets_no_more_contents(store: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_contents, "_SHARED_FILE_BYTES", 5)
    contents = [store.add(body) for body in (b"abc", b"defg", b"hi")]
    assert [content.read() for content in contents] == [b"abc", b"defg", b"hi"]
    assert files(store) == [b"abcdefg", b"hi"]
    del contents[:2]
    assert files(store) == [b"hi"]


def test_threads_add_and_read_small_contents(store: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_contents, "_SHARED_FILE_BYTES", 500)

    def add(number: int) -> tuple[bytes, Content]:
        body = str(number).encode() * (number % 7)
        return body, store.add(body)

    with ThreadPoolExecutor(8) as threads:
        added = list(threads.map(add, range(2_000)))
    assert all(content.read() == body for body, content in added)


def test_a_failed_write_damages_no_other_content(store: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, real = store.add(b"kept"), os.open

    def full(path: Any, flags: int, mode: int = 0o777) -> int:
        # Bytes of a write that failed in the middle.
        with open(real(path, flags | os.O_APPEND, mode), "wb") as file:  # noqa: PTH123
            file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space left"):
        store.add(b"lost content")
    monkeypatch.setattr(os, "open", real)
    later = store.add(b"later")
    assert (kept.read(), later.read()) == (b"kept", b"later")


def test_a_damaged_file_is_named(store: ContentStore) -> None:
    content = store.add(b"content")
    os.truncate(content.file.path, 3)
    with pytest.raises(OSError, match="has only 3 of 7 bytes from 0: it is damaged"):
        content.read()


def test_multipart_uploads_end_in_one_file(store: ContentStore) -> None:
    send("PUT", "/bucket")
    upload = ET.fromstring(send("POST", "/bucket/a", query={"uploads": [""]})[1]).findtext("{*}UploadId") or ""  # noqa: S314
    parts = ""
    for number, body in ((1, b"x" * (5 << 20)), (2, b"y")):
        part = send("PUT", "/bucket/a", body, {"partNumber": [str(number)], "uploadId": [upload]})[0]
        parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{part['etag']}</ETag></Part>"
    request = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    send("POST", "/bucket/a", request, {"uploadId": [upload]})
    assert files(store) == [b"x" * (5 << 20) + b"y"]


@pytest.mark.usefixtures("own_files")
def test_versions_share_the_files_of_objects(store: ContentStore) -> None:
    send("PUT", "/bucket")
    send("PUT", "/bucket/a", b"0")
    enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    send("PUT", "/bucket", enabled, {"versioning": [""]})
    first, second = (send("PUT", "/bucket/a", body)[0]["x-amz-version-id"] for body in (b"1", b"2"))
    assert files(store) == [b"0", b"1", b"2"]
    assert all(version["data"] is None for version in s3._object_versions["bucket", "a"])
    marker = send("DELETE", "/bucket/a")[0]["x-amz-version-id"]
    assert [send("GET", "/bucket/a", query={"versionId": [name]})[1] for name in ("null", first, second)] == [
        b"0",
        b"1",
        b"2",
    ]
    send("DELETE", "/bucket/a", query={"versionId": [marker]})
    assert send("GET", "/bucket/a")[1] == b"2"
    send("DELETE", "/bucket/a", query={"versionId": [second]})
    assert send("GET", "/bucket/a")[1] == b"1"
    for name in ("null", first):
        send("DELETE", "/bucket/a", query={"versionId": [name]})
    assert files(store) == []


def test_objects_share_equal_headers_and_keep_different_ones(store: ContentStore) -> None:
    send("PUT", "/bucket")
    for key, color in (("a", "red"), ("b", "red"), ("c", "blue")):
        send("PUT", f"/bucket/{key}", b"x", x_amz_meta_color=color, cache_control=f"max-age={len(color)}")
    records = s3._buckets["bucket"]["objects"]
    for name in ("metadata", "preserved_headers"):
        assert records["a"][name] is records["b"][name]
    send("PUT", "/bucket/a", b"new", x_amz_meta_color="green")
    found = {key: send("HEAD", f"/bucket/{key}")[0] for key in "abc"}
    assert {key: answer["x-amz-meta-color"] for key, answer in found.items()} == {"a": "green", "b": "red", "c": "blue"}
    assert {key: answer.get("cache-control") for key, answer in found.items()} == {
        "a": None,
        "b": "max-age=3",
        "c": "max-age=4",
    }
