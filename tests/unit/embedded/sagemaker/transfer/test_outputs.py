"""Output folders as a hostile job may leave them."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from embedded.faults import CorruptUpload, Faults
from embedded.sagemaker.errors import JobFailure
from embedded.sagemaker.instances.guard import delete_folder
from embedded.sagemaker.instances.logs import InstanceLog
from embedded.sagemaker.transfer.outputs import OutputFolder, OutputUpload, Uploader
from scoring.separation.file_modes import delete_tree


class Logs:
    """The part of CloudWatch Logs that an instance's log uses."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def create_log_stream(self, **_: Any) -> None:
        pass

    def put_log_events(self, logEvents: list[dict[str, Any]], **_: Any) -> None:  # noqa: N803 - as in AWS
        self.messages += [event["message"] for event in logEvents]


def nest_folders(root: Path, count: int) -> None:
    """Create nested folders whose path is longer than the system permits in one call."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(count):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


@pytest.mark.parametrize("delete", [delete_folder, delete_tree])
def test_deeply_nested_folders_fail_the_upload_and_are_deleted(delete: Any, tmp_path: Path) -> None:
    root = tmp_path / "ml"
    (root / "out").mkdir(parents=True)
    nest_folders(root / "out", 3_000)
    folder = OutputFolder(root, root / "out", "s3://bucket/out", is_continuous=True)
    with ThreadPoolExecutor(1) as pool:
        upload = OutputUpload(Uploader(None, role_arn="role"), [folder], pool=pool)
        assert upload.look(0.01) == 0.01
        with pytest.raises(JobFailure, match=r"The path d/d/d.* is longer than a key of S3 can be"):
            upload.finish(only_continuous=False)
        assert upload.look(0.01) > 0

    delete(root)

    assert not root.exists()


class Bucket:
    """The part of S3 that an upload uses."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, *, Key: str, Body: BinaryIO, **_: Any) -> None:  # noqa: N803 - as in AWS
        self.objects[Key] = Body.read()


def test_complete_files_are_uploaded_while_the_job_runs(tmp_path: Path) -> None:
    root, bucket = tmp_path / "ml", Bucket()
    (root / "out").mkdir(parents=True)
    os.utime(root / "out", (1, 1))  # empty for a long time
    folder = OutputFolder(root, root / "out", "s3://bucket/out", is_continuous=True)
    with ThreadPoolExecutor(1) as pool:
        upload = OutputUpload(Uploader(bucket, role_arn="role"), [folder], pool=pool)

        def look() -> float:
            seconds = upload.look(1.0)
            pool.submit(int).result()  # the uploads before it have ended
            return seconds

        assert [look() for _ in range(6)] == [1.0, 1.5, 2.25, 3.375, 5.0, 5.0]
        (root / "out/inner").mkdir()
        (root / "out/inner/a").write_bytes(b"first")
        assert look() == 1.0
        assert bucket.objects == {}, "the file may not be complete"
        assert look() == 1.5
        assert (bucket.objects, upload.count) == ({"out/inner/a": b"first"}, 1)
        (root / "out/inner/a").write_bytes(b"second version")
        (root / "out/b").write_bytes(b"b")
        assert [look(), look(), look()] == [1.0, 1.5, 2.25]
        assert bucket.objects == {"out/inner/a": b"second version", "out/b": b"b"}
        (root / "out/c").write_bytes(b"c")
        upload.finish(only_continuous=True)
    assert (bucket.objects["out/c"], upload.count) == (b"c", 4)


def test_a_file_is_found_whose_folder_looks_as_before(tmp_path: Path) -> None:
    root, bucket = tmp_path / "ml", Bucket()
    (root / "out").mkdir(parents=True)
    folder = OutputFolder(root, root / "out", "s3://bucket/out", is_continuous=True)
    with ThreadPoolExecutor(1) as pool:
        upload = OutputUpload(Uploader(bucket, role_arn="role"), [folder], pool=pool)
        before = (root / "out").stat()
        upload.look(1.0)
        (root / "out/a").write_bytes(b"a")
        os.utime(root / "out", ns=(before.st_atime_ns, before.st_mtime_ns))
        upload.look(1.0)
        upload.look(1.0)
    assert bucket.objects == {"out/a": b"a"}


class UnsteadyBucket(Bucket):
    """A bucket whose first upload fails in a way that nothing expects."""

    def put_object(self, **request: Any) -> None:
        if not self.objects:
            self.objects["failed"] = b""
            raise PermissionError("the file cannot be read now")
        super().put_object(**request)


@pytest.mark.parametrize("looks", [2, 4])
def test_a_failed_upload_while_the_job_runs_is_tried_again(looks: int, tmp_path: Path) -> None:
    root, bucket = tmp_path / "ml", UnsteadyBucket()
    (root / "out").mkdir(parents=True)
    (root / "out/a").write_bytes(b"a")
    folder = OutputFolder(root, root / "out", "s3://bucket/out", is_continuous=True)
    with ThreadPoolExecutor(1) as pool:
        upload = OutputUpload(Uploader(bucket, role_arn="role"), [folder], pool=pool)
        for _ in range(looks):
            upload.look(1.0)
            pool.submit(int).result()  # the uploads before it have ended
        upload.finish(only_continuous=True)
    assert bucket.objects == {"failed": b"", "out/a": b"a"}


def test_a_fault_changes_one_byte_of_one_object(tmp_path: Path) -> None:
    faults, bucket = Faults(tmp_path / "state"), Bucket()
    sent = {"out/a": b"a" * 101, "out/b": b"b" * 100, "other": b"c", "out/empty": b""}
    faults.add(CorruptUpload(key="out/*"))
    uploader = Uploader(bucket, role_arn="role", faults=faults)
    for key in ("other", "out/empty", "out/a", "out/b"):
        (tmp_path / "file").write_bytes(sent[key])
        with (tmp_path / "file").open("rb") as file:
            uploader.put(file, f"s3://bucket/{key}")
    changed = bucket.objects.pop("out/a")
    assert len(changed) == 101
    assert [number for number, byte in enumerate(changed) if byte != ord("a")] == [50]
    assert bucket.objects == {key: body for key, body in sent.items() if key != "out/a"}
    assert faults.pending() == []


def test_log_line_without_an_end_is_not_kept_in_memory(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    logs = Logs()
    log = InstanceLog(reading, tmp_path / "log", logs, group="g", stream="s")
    with os.fdopen(writing, "wb") as pipe:
        for _ in range(64):
            pipe.write(b"x" * (1 << 16))
        pipe.flush()
        deadline = time.monotonic() + 30
        while len(logs.messages) < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(logs.messages) >= 10
    log.close()
    assert sum(map(len, logs.messages)) == 64 << 16
    assert max(map(len, logs.messages)) <= 250_000


def test_the_first_lines_of_a_log_are_delivered_together_and_while_the_program_runs(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    logs = Logs()
    log = InstanceLog(reading, tmp_path / "log", logs, group="g", stream="s")
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        for line in (b"first\n", b"second\n"):
            pipe.write(line)
            time.sleep(0.05)
        deadline = time.monotonic() + 30
        while not logs.messages and time.monotonic() < deadline:
            time.sleep(0.01)
        assert logs.messages == ["first", "second"]
        pipe.write(b"last")
    log.close()
    assert logs.messages == ["first", "second", "last"]
