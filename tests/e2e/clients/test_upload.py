"""`fleetscore upload` puts files into a dataset, and says what starts."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cli.main import main
from cli.stage import dataset_upload
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

Captured = pytest.CaptureFixture[str]


def write_days(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(people(10, number), folder / name)
    return folder


def test_an_uploaded_folder_is_scored(stage: Stage, tmp_path: Path, capsys: Captured) -> None:
    folder = write_days(tmp_path / "days", "day=1/a.parquet", "day=2/a.parquet")
    assert main(["upload", str(folder), "by-upload"]) == 0
    shown = capsys.readouterr().out
    assert "Uploaded 2 objects, " in shown
    assert f" to s3://{stage.deployment.datasets_bucket}/by-upload/" in shown
    assert "No execution starts by itself: the setting `uploads` has no rule for by-upload." in shown
    stage.register("by-upload", train_xgboost(1), dataset="by-upload")
    snapshot = stage.run({"models": ["by-upload"]})
    stage.catalog.set_enabled("by-upload", False)
    assert snapshot.status == "SUCCEEDED", snapshot.reason
    assert sorted(stage.predictions("by-upload", "by-upload", snapshot.execution_id)) == [
        "day=1/a.parquet",
        "day=2/a.parquet",
    ]
    assert main(["upload", str(folder), "by-upload"]) == 0
    assert "2 objects were there already with the same content." in capsys.readouterr().out


def test_the_marker_starts_an_execution_over_what_was_uploaded(stage: Stage, tmp_path: Path, capsys: Captured) -> None:
    client = stage.client("stepfunctions")

    def started() -> set[str]:
        found = client.list_executions(stateMachineArn=stage.deployment.state_machine_arn)["executions"]
        return {item["name"] for item in found if item["name"].startswith("upload-by-marker-")}

    # Other tests upload to this dataset too.
    before = started()
    stage.register("by-upload-marker", train_xgboost(1), dataset="by-marker")
    folder = write_days(tmp_path / "day", "a.parquet", "b.parquet")
    words = ["upload", str(folder), "by-marker", "--to", "uploaded/today", "--ready", "--json"]
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["marker"], printed["rule"]) == ("uploaded/today/_READY", "marker")
    assert printed["uploaded"] == ["uploaded/today/a.parquet", "uploaded/today/b.parquet"]

    snapshots = [stage.watch(name) for name in wait_for(lambda: started() - before, "an execution starts")]
    stage.catalog.set_enabled("by-upload-marker", False)
    keys = [
        key for found in snapshots for key in stage.predictions("by-marker", "by-upload-marker", found.execution_id)
    ]
    assert sorted(keys) == ["uploaded/today/a.parquet", "uploaded/today/b.parquet"]


def test_large_files_are_sent_in_parts_with_one_checksum(
    stage: Stage, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_upload, "SINGLE_REQUEST_BYTES", 6 << 20)
    monkeypatch.setattr(dataset_upload, "PART_BYTES", 5 << 20)
    content = bytes(range(256)) * ((12 << 20) // 256)
    (tmp_path / "large.csv").write_bytes(content)
    assert main(["upload", str(tmp_path / "large.csv"), "in-parts"]) == 0
    s3, bucket = stage.client("s3"), stage.deployment.datasets_bucket
    assert s3.get_object(Bucket=bucket, Key="in-parts/large.csv")["Body"].read() == content
    capsys.readouterr()
    assert main(["upload", str(tmp_path / "large.csv"), "in-parts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unchanged"] == ["large.csv"]
    (tmp_path / "large.csv").write_bytes(content[::-1])
    assert main(["upload", str(tmp_path / "large.csv"), "in-parts"]) == 2
    assert "Add --overwrite" in capsys.readouterr().err
    assert main(["upload", str(tmp_path / "large.csv"), "in-parts", "--overwrite"]) == 0
    assert s3.get_object(Bucket=bucket, Key="in-parts/large.csv")["Body"].read() == content[::-1]
