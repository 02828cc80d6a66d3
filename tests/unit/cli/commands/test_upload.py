"""`fleetscore upload`: what it sends, replaces, leaves and says."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from cli.stage.connection import Connection
from cli.stage.dataset_upload import DatasetUpload
from cli.stage.deployment import Deployment
from tests.unit.cli.builders import Stacks

BY_HAND = "Score the dataset with `fleetscore run`."
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "day=1").mkdir(parents=True)
    (data / "a.csv").write_text("row\n1\n")
    (data / "day=1" / "b.csv").write_text("row\n22\n")
    return data


@pytest.fixture
def s3(account: Connection, stacks: Stacks) -> Any:
    stacks.outputs["fleetscore-dev-triggers"] = {"UploadRules": "flights=marker,orders=window:300"}
    return account.client("s3")


def content(s3: Any, key: str) -> str:
    return str(s3.get_object(Bucket="some-datasets", Key=key)["Body"].read().decode())


def test_files_are_sent_with_their_checksum(s3: Any, folder: Path, capsys: Captured) -> None:
    assert main(["upload", str(folder), "customers"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "Uploaded 2 objects, 13 B, to s3://some-datasets/customers/",
        f"No execution starts by itself: the setting `uploads` has no rule for customers. {BY_HAND}",
    ]
    assert shown.err.startswith("Stage dev in account ")
    assert content(s3, "customers/day=1/b.csv") == "row\n22\n"
    head = s3.head_object(Bucket="some-datasets", Key="customers/a.csv")
    assert head["Metadata"]["sha256"] == hashlib.sha256(b"row\n1\n").hexdigest()


def test_identical_objects_stay_and_different_ones_need_overwrite(s3: Any, folder: Path, capsys: Captured) -> None:
    assert main(["upload", str(folder), "customers"]) == 0
    (folder / "a.csv").write_text("row\n2\n")
    (folder / "c.csv").write_text("row\n3\n")
    assert main(["upload", str(folder), "customers"]) == 2
    refused = capsys.readouterr().err
    assert "1 object exists below s3://some-datasets/customers/ with other content" in refused
    assert "a.csv. Nothing was uploaded. Add --overwrite" in refused
    assert (
        "KeyCount" not in s3.list_objects_v2(Bucket="some-datasets", Prefix="customers/c.csv")
        or not (s3.list_objects_v2(Bucket="some-datasets", Prefix="customers/c.csv")["KeyCount"])
    )
    assert main(["upload", str(folder), "customers", "--overwrite", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["uploaded"], printed["replaced"], printed["unchanged"]) == (["c.csv"], ["a.csv"], ["day=1/b.csv"])
    assert (printed["rule"], printed["marker"]) == ("none", None)
    assert content(s3, "customers/a.csv") == "row\n2\n"


def test_objects_of_other_clients_are_compared_by_their_checksum(s3: Any, folder: Path, capsys: Captured) -> None:
    body = (folder / "a.csv").read_bytes()
    s3.put_object(Bucket="some-datasets", Key="customers/a.csv", Body=body, ChecksumAlgorithm="SHA256")
    assert main(["upload", str(folder / "a.csv"), "customers"]) == 0
    assert "1 object was there already with the same content." in capsys.readouterr().out
    assert len(s3.list_object_versions(Bucket="some-datasets", Prefix="customers/a.csv")["Versions"]) == 1


def test_the_marker_is_written_last_and_only_where_it_starts_something(s3: Any, folder: Path, capsys: Captured) -> None:
    assert main(["upload", str(folder), "flights"]) == 0
    assert "No execution starts yet: flights waits for its marker." in capsys.readouterr().out
    assert main(["upload", str(folder), "flights", "--to", "today", "--ready"]) == 0
    shown = capsys.readouterr().out
    assert "The marker today/_READY is written: an execution starts and scores everything below flights/today/" in shown
    assert s3.head_object(Bucket="some-datasets", Key="flights/today/_READY")["ContentLength"] == 0
    for dataset, why in (("orders", "its rule has the mode 'window'"), ("customers", "it has no rule")):
        assert main(["upload", str(folder), dataset, "--ready"]) == 2
        assert why in capsys.readouterr().err


def test_a_marker_in_a_hidden_folder_is_refused(s3: Any, folder: Path, capsys: Captured) -> None:
    """Executions do not read such a folder, so the marker would start nothing."""
    for hidden in ("_tmp", "day=1/.parts/"):
        assert main(["upload", str(folder), "flights", "--to", hidden, "--ready"]) == 2
        assert f"--ready: got --to {hidden.rstrip('/')}" in capsys.readouterr().err
    assert s3.list_objects_v2(Bucket="some-datasets", Prefix="flights/")["KeyCount"] == 0


def test_a_window_says_when_it_starts(s3: Any, folder: Path, stacks: Stacks, capsys: Captured) -> None:
    assert main(["upload", str(folder), "orders"]) == 0
    assert "An execution starts within about 300 seconds" in capsys.readouterr().out
    assert main(["upload", str(folder), "orders"]) == 0
    assert "No execution starts, because nothing was uploaded." in capsys.readouterr().out
    del stacks.outputs["fleetscore-dev-triggers"]
    assert main(["upload", str(folder), "more"]) == 0
    assert "Whether an execution starts depends on the setting `uploads`." in capsys.readouterr().out


def test_an_object_that_appears_meanwhile_is_not_replaced(
    s3: Any, folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = DatasetUpload.compare

    def compare_and_lose(self: DatasetUpload, files: Any) -> Any:
        found = compare(self, files)
        s3.put_object(Bucket="some-datasets", Key="customers/a.csv", Body=b"theirs")
        return found

    monkeypatch.setattr(DatasetUpload, "compare", compare_and_lose)
    assert main(["upload", str(folder / "a.csv"), "customers"]) == 2
    shown = capsys.readouterr().err
    assert "s3://some-datasets/customers/a.csv was written by somebody else meanwhile, and was not replaced." in shown
    assert "0 of 1 files are in S3" in shown
    assert content(s3, "customers/a.csv") == "theirs"


def test_an_interrupted_upload_says_what_is_there(
    s3: Any, folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.views.upload.UploadProgress.sent", interrupt)
    assert main(["upload", str(folder / "a.csv"), "customers"]) == 130
    assert "Interrupted." in (shown := capsys.readouterr().err)
    assert "Run the same command again to continue" in shown


@pytest.mark.usefixtures("deployment")
def test_nothing_is_called_for_a_path_or_a_name_that_is_wrong(folder: Path, capsys: Captured) -> None:
    (folder / "notes.pdf").write_text("")
    assert main(["upload", str(folder), "customers"]) == 2
    assert "notes.pdf: got 'the name of a document or an image'" in capsys.readouterr().err
    assert main(["upload", str(folder), "No Name"]) == 2
    assert "DATASET: got 'No Name', expected 1 to 63 of a-z" in capsys.readouterr().err


def test_a_refused_request_of_s3_is_named(s3: Any, folder: Path, deployment: Deployment, capsys: Captured) -> None:
    s3.delete_bucket(Bucket=deployment.datasets_bucket)
    assert main(["upload", str(folder), "customers"]) == 4
    assert "did not find a resource" in capsys.readouterr().err
