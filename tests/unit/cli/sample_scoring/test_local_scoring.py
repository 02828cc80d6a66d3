"""`fleetscore models test`, which runs the container's code on this machine."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import sklearn

from cli import main as entry
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract import layout
from contract.dataset.detection import NO_DATA_NOTE
from tests.unit.archives_of_attackers import realpath_overflow
from tests.unit.cli.local_models import ROWS, classifier, people, sample_table, sklearn_archive, write_sample

Captured = pytest.CaptureFixture[str]

RECORD = {
    "model_id": "churn",
    "artifact": "model.tar.gz",
    "format": "sklearn-joblib",
    "model_file": "model.joblib",
    "method": "predict_proba",
    "features": [{"name": "visits", "type": "int32"}, {"name": "age", "type": "double"}],
    "key_columns": ["id"],
}


class NotAModel:
    """Writes to standard error and raises an error when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("import sys; sys.stderr.write('last words of the model'); raise ValueError('no')",)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    sklearn_archive(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(RECORD))
    return tmp_path / "model.json"


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test at any call of AWS."""

    def refuse(*_: object) -> Any:
        raise AssertionError("AWS was called")

    monkeypatch.setattr(Connection, "session", refuse)


@pytest.mark.usefixtures("no_aws")
def test_models_test_scores_a_record_and_its_artifact_without_aws(
    record: Path, tmp_path: Path, capsys: Captured
) -> None:
    sample = write_sample(tmp_path / "sample.parquet")
    words = ["models", "test", "churn", str(sample), "--record", str(record), "--rows", "2", "--json"]
    assert entry.main(words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["rows"], shown["columns_added"]) == (
        ROWS,
        {"prediction_False": "double", "prediction_True": "double"},
    )
    expected = classifier().predict_proba(people())
    for number, row in enumerate(shown["first_rows"]):
        assert row["id"] == number
        assert row["prediction_True"] == pytest.approx(expected[number][1])
    assert shown["first_rows"][0]["note"] is None
    assert len(shown["first_rows"]) == 2
    assert shown["notes"] == []


@pytest.mark.usefixtures("no_aws")
@pytest.mark.parametrize("name", ["sample.csv.gz", "sample.jsonl", "sample.tsv", "000"])
def test_text_samples_are_read_as_in_a_job(record: Path, tmp_path: Path, capsys: Captured, name: str) -> None:
    fields = {**RECORD, "partition_columns": ["day"], "key_columns": ["id", "day"]}
    record.write_text(json.dumps(fields))
    sample = tmp_path / "day=2026-01-31" / name
    sample.parent.mkdir()
    frame = sample_table().to_pandas()
    if name.endswith(".jsonl"):
        frame.to_json(sample, orient="records", lines=True)
    else:
        frame.to_csv(sample, index=False, sep="\t" if name.endswith(".tsv") else ",")
    assert entry.main(["models", "test", "churn", str(sample), "--record", str(record), "--json", "--rows", "1"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["rows"], list(shown["columns_added"])) == (ROWS, ["prediction_False", "prediction_True"])
    [row] = shown["first_rows"]
    assert (row["id"], row["day"], row["visits"]) == ("0", "2026-01-31", int(people()["visits"][0]))
    assert row["prediction_True"] == pytest.approx(classifier().predict_proba(people())[0][1])


@pytest.mark.usefixtures("no_aws")
def test_a_sample_without_data_has_no_rows_and_a_note(record: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "sample.csv").write_bytes(b"")
    words = ["models", "test", "churn", str(tmp_path / "sample.csv"), "--record", str(record), "--json"]
    assert entry.main(words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["rows"], shown["first_rows"], shown["notes"]) == (0, [], [NO_DATA_NOTE])


@pytest.mark.usefixtures("no_aws")
def test_models_test_shows_notes_about_the_model(record: Path, tmp_path: Path, capsys: Captured) -> None:
    fields = json.loads(record.read_text())
    record.write_text(json.dumps({**fields, "framework_version": "1.0.2"}))
    sample = write_sample(tmp_path / "sample.parquet")
    assert entry.main(["models", "test", "churn", str(sample), "--record", str(record)]) == 0
    shown = capsys.readouterr().out
    assert f"churn, version unregistered, scored {ROWS} rows of the sample." in shown
    assert f"Note: trained with scikit-learn 1.0.2, scored with {sklearn.__version__}" in shown
    assert "Columns added: prediction_False:double, prediction_True:double" in shown


@pytest.mark.usefixtures("no_aws")
def test_failed_scoring_shows_the_containers_exit_message(record: Path, tmp_path: Path, capsys: Captured) -> None:
    sample = write_sample(tmp_path / "sample.parquet", sample_table().drop_columns("visits"))
    assert entry.main(["models", "test", "churn", str(sample), "--record", str(record)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Scoring with churn, version unregistered, failed. DATA: " in captured.err
    assert "feature column 'visits' of type int32 is missing" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.usefixtures("no_aws")
def test_the_log_has_the_value_that_the_exit_message_leaves_out(record: Path, tmp_path: Path, capsys: Captured) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text(people().assign(id=1, visits="12-34").to_csv(index=False))
    assert entry.main(["models", "test", "churn", str(sample), "--record", str(record)]) == 1
    captured = capsys.readouterr().err
    assert "row 0 cannot be scored: has a value in column 'visits' that is not int32" in captured
    assert "Detail: row 0: has a value in column 'visits' that is not int32: '12-34'" in captured


@pytest.mark.usefixtures("no_aws")
def test_log_of_the_model_is_shown_when_loading_fails(record: Path, tmp_path: Path, capsys: Captured) -> None:
    sklearn_archive(tmp_path, NotAModel())
    sample = write_sample(tmp_path / "sample.parquet")
    assert entry.main(["models", "test", "churn", str(sample), "--record", str(record)]) == 1
    captured = capsys.readouterr().err
    assert "last words of the model" in captured
    assert "Traceback" not in captured
    assert captured.count("ValueError: no") == 1
    assert entry.main(["--debug", "models", "test", "churn", str(sample), "--record", str(record)]) == 1
    assert "in load" in capsys.readouterr().err
    assert "failed. MODEL: model 'churn': 'model.joblib' cannot be loaded as sklearn-joblib" in captured


@pytest.mark.usefixtures("no_aws")
def test_what_custom_code_prints_is_shown(record: Path, tmp_path: Path, capsys: Captured) -> None:
    code = "def model_fn(d):\n    print('hello \\x1b[2J')\n\ndef predict_fn(data, model):\n    return data['age']\n"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(code)
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "code", "code")
    fields = {**RECORD, "format": "custom", "model_file": "code/inference.py", "method": "predict", "custom_code": True}
    record.write_text(json.dumps(fields))
    sample = write_sample(tmp_path / "sample.parquet")
    assert entry.main(["models", "test", "churn", str(sample), "--record", str(record)]) == 0
    assert r"hello \x1b[2J" in capsys.readouterr().err


@pytest.mark.usefixtures("no_aws")
def test_a_record_is_tested_with_features_inferred_from_its_artifact(
    record: Path, tmp_path: Path, capsys: Captured
) -> None:
    sample = write_sample(tmp_path / "sample.parquet")
    without = {name: value for name, value in RECORD.items() if name != "features"}
    words = ["models", "test", "churn", str(sample), "--record", str(record), "--infer-schema"]
    for fields in (without, {**without, "features": [{"name": "wrong", "type": "double"}]}):
        record.write_text(json.dumps(fields))
        assert entry.main([*words, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert [feature["name"] for feature in shown["inferred_features"]] == list(people().columns)
        assert shown["rows"] == ROWS
    assert entry.main(words) == 0
    assert "Inferred 2 features from the artifact and the sample:" in capsys.readouterr().out
    record.write_text(json.dumps(without))
    assert entry.main(words[:-1]) == 2
    assert "features: got" in capsys.readouterr().err


@pytest.mark.usefixtures("no_aws")
def test_names_are_whole_on_a_narrow_terminal(
    record: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = write_sample(tmp_path / "sample.parquet")
    monkeypatch.setattr("cli.command_line.output._WIDTH_WITHOUT_TERMINAL", 30)
    assert entry.main(["models", "test", "churn", str(sample), "--record", str(record), "--rows", "2"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("prediction_False") == 3, "once as a column that is added, and once per row"
    assert "Row 2:" in shown


@pytest.mark.usefixtures("no_aws")
@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08 cut"])
def test_a_broken_artifact_is_reported_without_a_traceback(
    record: Path, tmp_path: Path, capsys: Captured, content: bytes
) -> None:
    sample = write_sample(tmp_path / "sample.parquet")
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(content)
    words = ["models", "test", "churn", str(sample), "--record", str(record), "--artifact", str(broken)]
    assert entry.main(words) in {1, 2}
    captured = capsys.readouterr().err
    assert "Traceback" not in captured
    assert "broken.tar.gz" in captured or "artifact" in captured


@pytest.mark.usefixtures("no_aws")
def test_invalid_command_lines_are_refused_before_scoring(record: Path, tmp_path: Path, capsys: Captured) -> None:
    sample = write_sample(tmp_path / "sample.parquet")
    for words, why in (
        ([str(tmp_path / "no.parquet"), "--record", str(record)], "expected a file that exists"),
        ([str(sample), "--record", str(record), "--artifact", str(tmp_path / "no")], "a file that exists"),
        ([str(sample), "--record", str(record), "--version", "1"], "Use either --version"),
        ([str(sample), "--artifact", "model.tar.gz"], "--artifact needs --record"),
        ([str(sample), "--infer-schema"], "--infer-schema needs --record"),
    ):
        assert entry.main(["models", "test", "churn", *words]) == 2
        assert why in capsys.readouterr().err
    assert entry.main(["models", "test", "other", str(sample), "--record", str(record)]) == 2
    assert "model_id: got 'churn', expected 'other'" in capsys.readouterr().err


def test_models_test_scores_a_catalog_version_and_verifies_its_digest(
    record: Path, account: Connection, deployment: Deployment, capsys: Captured
) -> None:
    sample = write_sample(record.parent / "sample.parquet")
    assert entry.main(["models", "register", f"@{record}", "--dataset", "customers"]) == 0
    assert entry.main(["models", "test", "churn", str(sample)]) == 0
    assert "churn, version 1, scored" in capsys.readouterr().out
    key = layout.artifact_key("churn", "1")
    s3 = account.client("s3")
    size = s3.head_object(Bucket=deployment.models_bucket, Key=key)["ContentLength"]
    s3.put_object(Bucket=deployment.models_bucket, Key=key, Body=b"x" * size)
    assert entry.main(["models", "test", "churn", str(sample), "--version", "1"]) == 1
    assert "MODEL: " in capsys.readouterr().err
    s3.delete_object(Bucket=deployment.models_bucket, Key=key)
    assert entry.main(["models", "test", "churn", str(sample)]) == 2
    assert "There is no artifact at s3://some-models/churn/1/model.tar.gz" in capsys.readouterr().err


@pytest.mark.usefixtures("no_aws")
def test_models_test_writes_no_file_outside_the_artifacts_folder(tmp_path: Path, capsys: Captured) -> None:
    """The artifact of CVE-2025-4517, as a data-only model that may be tested without
    trusting it.
    """
    victim, sample = tmp_path / "victim", write_sample(tmp_path / "sample.parquet")
    archive = realpath_overflow(victim, b"attacked", ("model.json", b"{}"))
    (tmp_path / "model.tar.gz").write_bytes(archive)
    fields = {"format": "xgboost-json", "model_file": "model.json", "method": "predict"}
    (tmp_path / "model.json").write_text(json.dumps({**RECORD, **fields}))
    assert entry.main(["models", "test", "churn", str(sample), "--record", str(tmp_path / "model.json")]) != 0
    assert not victim.exists()
    assert "member 'a' is a symbolic link" in " ".join(capsys.readouterr().err.split())
