"""`fleetscore predictions`, and its downloads."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract import codec, layout
from contract.job.ledger import Commit, OutputFile, SegmentHeader, commit_line, segment_content
from contract.job.scoring_spec import PinnedObject
from contract.job.snapshot import Snapshot
from contract.status import JobStatus, WindowStatus
from contract.table import records, upload_records
from contract.table.latest_predictions import latest_item, point_to_job
from contract.table.records import JobRecord
from contract.table.upload_records import UploadWindow
from contract.triggers.uploads import ObjectVersion, UploadManifest
from tests.unit.checksums import crc64nvme
from tests.unit.cli.builders import any_execution, any_job, succeeded_job

Captured = pytest.CaptureFixture[str]
BODIES = {"2026/a.parquet": b"a" * 10, "2026/b.parquet": b"b" * 2_000_000}


class Stage:
    """Records and outputs of executions, as the functions and the container write them."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self.s3 = connection.client("s3")
        self.bucket = deployment.results_bucket
        self.table = connection.resource("dynamodb").Table(deployment.table_name)

    def point(self, *jobs: JobRecord, **changes: Any) -> None:
        for job in jobs:
            for pointer in point_to_job([job], self.bucket, planned_at=job.created_at, expiry_days=None):
                self.table.put_item(Item=latest_item(replace(pointer, **changes)))

    def record(self, execution_id: str, *jobs: JobRecord, **changes: Any) -> None:
        execution = any_execution(execution_id=execution_id, **changes)
        self.table.put_item(Item=records.execution_item(execution))
        for job in jobs:
            self.table.put_item(Item=records.job_item(job))

    def write(self, job: JobRecord, bodies: dict[str, bytes] = BODIES) -> None:
        """Write predictions of a job's only model, and their commits."""
        (model_id,) = job.model_ids
        prefix = layout.job_outputs_prefix("predictions", job.dataset, job.execution_id, job.job_id)
        lines = []
        for name, body in bodies.items():
            key = layout.output_key(model_id, name)
            self.s3.put_object(Bucket=self.bucket, Key=prefix + key, Body=body, ChecksumAlgorithm="CRC64NVME")
            output = OutputFile("predictions", key, len(body), crc64nvme(body))
            lines.append(commit_line(Commit(model_id, name, "etag", 1, 1, 0, (output,))))
        header = SegmentHeader(job.execution_id, job.job_id, {model_id: "1"})
        name, content = segment_content(header, lines)
        ledger = layout.ledger_prefix(job.execution_id, job.job_id)
        self.s3.put_object(Bucket=self.bucket, Key=ledger + name, Body=content)


@pytest.fixture
def stage(account: Connection, deployment: Deployment) -> Stage:
    return Stage(account, deployment)


@pytest.fixture
def show(capsys: Captured) -> Callable[..., Any]:
    """Return the JSON value that the command prints."""

    def run(*words: str) -> Any:
        assert main(["predictions", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_nothing_complete_is_no_error_and_says_what_to_do(stage: Stage, capsys: Captured) -> None:
    assert stage
    assert main(["predictions", "--model", "churn", "--dataset", "customers"]) == 0
    shown = capsys.readouterr().out
    assert "No predictions of model 'churn' of dataset 'customers' are complete yet" in shown
    assert "`fleetscore list`" in shown
    assert main(["predictions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"predictions": [], "upload_windows": [], "incomplete_jobs": []}


def test_pointers_are_chosen_by_dataset_model_and_fleet(stage: Stage, show: Callable[..., Any]) -> None:
    fleet = {"model_ids": ("stores",), "fleet": "stores", "output_layout": "fleet"}
    stage.point(
        succeeded_job("churn"),
        succeeded_job("ads"),
        succeeded_job("churn", dataset="leads", execution_id="leads-1"),
        succeeded_job("stores.fleet", dataset="sales", **fleet),
    )

    def chosen(*words: str) -> list[tuple[str, str]]:
        return [(item["dataset"], item["model_id"]) for item in show(*words)["predictions"]]

    everything = [("customers", "ads"), ("customers", "churn"), ("leads", "churn"), ("sales", "stores")]
    assert chosen() == everything
    assert chosen("--dataset", "customers") == everything[:2]
    assert chosen("--model", "churn") == everything[1:3]
    assert chosen("--model", "stores") == everything[3:]
    assert chosen("--model", "churn", "--dataset", "leads") == everything[2:3]
    (found,) = show("--model", "stores")["predictions"]
    folder = "s3://some-results/fleets/dataset=sales/execution_id=nightly-1/job_id=stores.fleet/"
    assert (found["state"], found["predictions_uris"]) == ("latest", [folder])


def test_the_table_shows_rows_per_model_and_the_place_of_one(stage: Stage, capsys: Captured) -> None:
    models = {"model_ids": ("a", "b"), "model_versions": ("1", "2"), "output_layout": "joined", "rows_scored": 2_000}
    stage.point(succeeded_job("a.and-1-more", **models))
    assert main(["predictions", "--model", "b"]) == 0
    shown = capsys.readouterr().out
    assert "1,000" in shown
    assert "s3://some-results/joined/dataset=customers/execution_id=nightly-1/job_id=a.and-1-more/" in shown


def test_an_execution_shows_what_is_complete_and_what_is_not(
    stage: Stage, show: Callable[..., Any], capsys: Captured
) -> None:
    jobs = [succeeded_job("churn"), succeeded_job("ads"), any_job("bad", status=JobStatus.FAILED)]
    stage.record("nightly-1", *jobs)
    stage.point(jobs[0])
    stage.point(succeeded_job("ads", execution_id="nightly-2"))
    found = show("--execution", "nightly-1")
    assert [(item["model_id"], item["state"]) for item in found["predictions"]] == [
        ("ads", "complete"),
        ("churn", "latest"),
    ]
    assert found["incomplete_jobs"] == ["bad"]
    assert main(["predictions", "--execution", "nightly-1"]) == 0
    assert "Not complete: bad. `fleetscore status nightly-1` says why." in capsys.readouterr().out
    assert main(["predictions", "--execution", "unknown"]) == 2
    assert "There is no record of execution 'unknown'" in capsys.readouterr().err


def test_executions_of_upload_windows_are_parts(stage: Stage, show: Callable[..., Any], capsys: Captured) -> None:
    stage.point(succeeded_job("churn"))
    for number, started in ((1, "2026-02-01T00:00:00.000Z"), (2, "2026-04-01T00:00:00.000Z")):
        execution_id = f"customers-{number}"
        request = json.dumps({"objects_manifest": f"uploads/customers/window-{number}.json"})
        job = succeeded_job("churn", execution_id=execution_id)
        stage.record(execution_id, job, started_at=started, request_json=request)
        window = UploadWindow("customers", number, WindowStatus.STARTED, started, "{}", execution_id, "", 7)
        stage.table.put_item(Item=upload_records.upload_window_item(window))
    windows = show("--dataset", "customers")["upload_windows"]
    assert windows == [{"window": 2, "execution_id": "customers-2", "object_count": 7}]
    assert main(["predictions", "--dataset", "customers"]) == 0
    assert "Parts that came later" in capsys.readouterr().out
    (part,) = show("--execution", "customers-2")["predictions"]
    assert part["state"] == "part"


def test_a_later_window_counts_only_if_the_latest_predictions_lack_an_object(
    stage: Stage, show: Callable[..., Any]
) -> None:
    job = succeeded_job("churn")
    stage.point(job)
    uploads = {key: ObjectVersion(key, "", key * 32, 10) for key in "abc"}
    snapshot = Snapshot("customers", "some-datasets", tuple(PinnedObject(key, 10, key * 32) for key in "ab"))
    key = layout.snapshot_key(job.execution_id, "customers")
    stage.s3.put_object(Bucket="some-results", Key=key, Body=snapshot.text())
    replaced = replace(uploads["a"], etag="f" * 32)
    for number, objects in enumerate(([uploads["a"]], [uploads["b"], uploads["c"]], [replaced]), 1):
        started, execution_id = "2026-04-01T00:00:00.000Z", f"customers-{number}"
        stage.record(execution_id, started_at=started)
        manifest = layout.upload_manifest_key("customers", f"window-{number}")
        content = codec.dumps(UploadManifest("customers", "window", tuple(objects)))
        stage.s3.put_object(Bucket="some-results", Key=manifest, Body=content.encode())
        window = UploadWindow("customers", number, WindowStatus.STARTED, started, "{}", execution_id, manifest, 1)
        stage.table.put_item(Item=upload_records.upload_window_item(window))
    assert [item["window"] for item in show("--dataset", "customers")["upload_windows"]] == [3, 2]


def test_a_download_has_all_files_and_says_what_it_is(
    stage: Stage, tmp_path: Path, show: Callable[..., Any], capsys: Captured
) -> None:
    job = succeeded_job("churn", object_count=2)
    stage.write(job)
    stage.point(job)
    folder = tmp_path / "down"
    found = show("--model", "churn", "--download", str(folder))
    root = folder / "predictions/dataset=customers/execution_id=nightly-1/job_id=churn/model_id=churn"
    assert {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    } == BODIES
    content = json.loads((folder / "_predictions.json").read_text())
    assert content["predictions"][0]["execution_id"] == found["predictions"][0]["execution_id"] == "nightly-1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["down"]
    assert capsys.readouterr().err == ""


def test_a_download_does_not_mix_with_other_files(stage: Stage, tmp_path: Path, capsys: Captured) -> None:
    stage.point(succeeded_job("churn"))
    (tmp_path / "mine.txt").touch()
    assert main(["predictions", "--model", "churn", "--download", str(tmp_path)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert main(["predictions", "--download", str(tmp_path / "new")]) == 2
    assert "--model, --dataset or --execution" in capsys.readouterr().err
    assert main(["predictions", "--model", "nobody", "--download", str(tmp_path / "new")]) == 2
    assert "are complete yet" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s3, bucket, key: s3.delete_object(Bucket=bucket, Key=key), "is missing"),
        (lambda s3, bucket, key: s3.put_object(Bucket=bucket, Key=key, Body=b"short"), "has 5 bytes, its commit says"),
        (lambda s3, bucket, key: s3.put_object(Bucket=bucket, Key=f"{key}.more", Body=b"x"), "no commit names it"),
        (
            lambda s3, bucket, key: s3.put_object(
                Bucket=bucket, Key=key, Body=b"c" * 10, ChecksumAlgorithm="CRC64NVME"
            ),
            "its content has changed since it was committed",
        ),
    ],
    ids=["deleted", "other size", "unknown", "other content"],
)
def test_a_download_of_changed_predictions_fails_and_leaves_nothing_under_its_name(
    stage: Stage, tmp_path: Path, change: Callable[[Any, str, str], Any], expected: str, capsys: Captured
) -> None:
    job = succeeded_job("churn", object_count=2)
    stage.write(job)
    stage.point(job)
    prefix = layout.model_outputs_prefix("predictions", "customers", "nightly-1", "churn", "churn")
    change(stage.s3, stage.bucket, f"{prefix}2026/a.parquet")
    assert main(["predictions", "--model", "churn", "--download", str(tmp_path / "down")]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "down").exists()


def test_an_interrupted_download_is_continued(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = succeeded_job("churn", object_count=2)
    stage.write(job)
    stage.point(job)
    words = ["predictions", "--model", "churn", "--download", str(tmp_path / "down")]
    moved = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if path.name.startswith(".a."):
            raise ConnectionResetError
        return moved(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        assert main(words) != 0
    assert [path.name for path in tmp_path.iterdir()] == ["down.incomplete"]
    fetched: list[str] = []
    stage.s3.meta.events.register("before-call.s3.GetObject", lambda params, **_: fetched.append(params["url_path"]))
    assert main(words) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["down"]
    found = {path.name: path.read_bytes() for path in (tmp_path / "down").rglob("*.parquet")}
    assert found == {name.rpartition("/")[2]: body for name, body in BODIES.items()}


def test_files_whose_names_a_file_system_takes_for_one_are_not_lost(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """On macOS, `A.parquet` replaces `a.parquet`."""
    job = succeeded_job("churn", object_count=2)
    stage.write(job)
    stage.point(job)
    (tmp_path / "one").write_bytes(b"")

    def replace_other(_s3: Any, _bucket: str, _file: Any, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(tmp_path / "one")

    monkeypatch.setattr("cli.stage.predictions.download._fetch", replace_other)
    assert main(["predictions", "--model", "churn", "--download", str(tmp_path / "down")]) == 2
    assert "2 files became 1 in" in capsys.readouterr().err
    assert not (tmp_path / "down").exists()


def test_a_folder_of_another_interrupted_download_is_kept(stage: Stage, tmp_path: Path, capsys: Captured) -> None:
    job = succeeded_job("churn", object_count=2)
    stage.write(job)
    stage.point(job)
    (tmp_path / "down.incomplete").mkdir()
    (tmp_path / "down.incomplete/_predictions.json").write_text("{}")
    assert main(["predictions", "--model", "churn", "--download", str(tmp_path / "down")]) == 2
    assert "is left from a download of other predictions" in capsys.readouterr().err


def test_expired_predictions_are_shown_as_such_and_not_downloaded(
    stage: Stage, tmp_path: Path, show: Callable[..., Any], capsys: Captured
) -> None:
    stage.point(succeeded_job("churn"), outputs_expire_at="2026-03-31T12:00:00.000Z")
    assert show("--model", "churn")["predictions"][0]["state"] == "expired"
    assert main(["predictions", "--model", "churn", "--download", str(tmp_path / "down")]) == 2
    assert "expired at 2026-03-31T12:00:00.000Z" in capsys.readouterr().err


def test_sizes_alone_are_compared_when_the_ledger_has_expired(stage: Stage, tmp_path: Path, capsys: Captured) -> None:
    job = succeeded_job("churn", object_count=2)
    stage.write(job)
    stage.point(job)
    ledger = layout.ledger_prefix("nightly-1", "churn")
    for entry in stage.s3.list_objects_v2(Bucket=stage.bucket, Prefix=ledger)["Contents"]:
        stage.s3.delete_object(Bucket=stage.bucket, Key=entry["Key"])
    assert main(["predictions", "--execution", "nightly-1", "--download", str(tmp_path / "down")]) == 2
    assert main(["predictions", "--model", "churn", "--download", str(tmp_path / "down")]) == 0
    assert "The ledger of 1 job has expired" in capsys.readouterr().err
    assert len(list((tmp_path / "down").rglob("*.parquet"))) == 2


def test_commits_that_are_missing_in_the_ledger_are_counted(stage: Stage, tmp_path: Path, capsys: Captured) -> None:
    job = succeeded_job("churn", object_count=3)
    stage.write(job)
    stage.point(job)
    assert main(["predictions", "--model", "churn", "--download", str(tmp_path / "down")]) == 2
    expected = "'churn' has scored 3 objects of 'customers', but the ledger has commits of 2"
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "down").exists()
