"""`--infer-schema`: names from the artifact, types from a sample."""

import operator
import subprocess
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import cast

import catboost
import lightgbm
import numpy as np
import pyarrow as pa
import pytest
import skops.io
import xgboost
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from cli import main as entry
from cli.sample_scoring.sample import read_columns
from cli.sample_scoring.schema_inference import infer_features
from cli.stage.catalog.catalog import Catalog
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.catalog.model_fields import Feature
from contract.catalog.model_formats import ModelFormat
from contract.dataset.input_options import InputOptions
from contract.problems import InvalidInputError
from scoring import artifact_features
from tests.unit.archives_of_attackers import realpath_overflow
from tests.unit.cli.builders import make_archive
from tests.unit.cli.local_models import classifier, people, sample_table, sklearn_archive, write_sample


class Malicious:
    """Runs code when it is loaded."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (self.code,)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read artifacts in the process of the tests, because each new process imports the libraries
    again.
    """

    def run(module: str, arguments: Sequence[str], *, root: Path) -> "subprocess.CompletedProcess[str]":
        assert module == "scoring.artifact_features"
        declared, file, answer = arguments
        status = artifact_features.main(cast("ModelFormat", declared), root / file, root / answer)
        return subprocess.CompletedProcess(arguments, status, "", "")

    monkeypatch.setattr("cli.sample_scoring.artifact_process.run_container_code", run)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return write_sample(tmp_path / "sample.parquet")


FEATURES = [Feature("visits", "int32", nullable=False), Feature("age", "double")]


@pytest.mark.usefixtures("in_this_process")
def test_names_and_order_come_from_the_artifact_and_types_from_the_sample(tmp_path: Path, sample: Path) -> None:
    found = infer_features(sklearn_archive(tmp_path), "sklearn-joblib", "model.joblib", sample, ["id"])
    assert [item.feature for item in found] == FEATURES


@pytest.mark.usefixtures("in_this_process")
def test_xgboost_boosters_know_their_feature_names(tmp_path: Path, sample: Path) -> None:
    data = xgboost.DMatrix(people(), people()["age"] > 40)
    xgboost.train({"objective": "binary:logistic"}, data, 2).save_model(tmp_path / "model.ubj")
    archive = make_archive(tmp_path / "b.tar.gz", {"model.ubj": (tmp_path / "model.ubj").read_bytes()})
    found = infer_features(archive, "xgboost-ubj", "model.ubj", sample, [])
    assert [item.feature for item in found] == FEATURES


def save_skops(path: Path) -> None:
    skops.io.dump(classifier(), path)


def save_lightgbm(path: Path) -> None:
    data = lightgbm.Dataset(people(), label=people()["age"] > 40)
    lightgbm.train({"objective": "binary", "verbosity": -1}, data, 2).save_model(path)


def save_catboost(path: Path) -> None:
    model = catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False)
    model.fit(people(), people()["age"] > 40).save_model(str(path))


def save_onnx(path: Path) -> None:
    frame = people().astype("float32")
    scaler = ColumnTransformer([("numbers", StandardScaler(), ["visits", "age"])])
    model = make_pipeline(scaler, LogisticRegression()).fit(frame, frame["age"] > 40)
    path.write_bytes(to_onnx(model, frame.head(1)).SerializeToString())


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("declared", "save"),
    [
        ("sklearn-skops", save_skops),
        ("lightgbm-text", save_lightgbm),
        ("catboost-cbm", save_catboost),
        ("onnx", save_onnx),
    ],
)
def test_other_formats_know_their_feature_names(
    declared: ModelFormat, save: Callable[[Path], None], tmp_path: Path, sample: Path
) -> None:
    save(tmp_path / "model")
    archive = make_archive(tmp_path / "m.tar.gz", {"model": (tmp_path / "model").read_bytes()})
    found = infer_features(archive, declared, "model", sample, ["id"])
    assert [item.feature for item in found] == FEATURES


@pytest.mark.usefixtures("in_this_process")
def test_skops_file_with_untrusted_types_is_not_loaded(tmp_path: Path, sample: Path) -> None:
    model = make_pipeline(FunctionTransformer(operator.neg), LogisticRegression())
    skops.io.dump(model.fit(people(), people()["age"] > 40), tmp_path / "model")
    archive = make_archive(tmp_path / "m.tar.gz", {"model": (tmp_path / "model").read_bytes()})
    with pytest.raises(InvalidInputError, match=r"skops does not trust, \['_operator.neg'\]: pass --features"):
        infer_features(archive, "sklearn-skops", "model", sample, ["id"])


@pytest.mark.usefixtures("in_this_process")
def test_artifact_without_names_takes_as_many_columns_of_the_sample(tmp_path: Path, sample: Path) -> None:
    archive = sklearn_archive(tmp_path, classifier(named=False))
    with pytest.raises(
        InvalidInputError, match="with 3 columns besides the key columns: age, note, visits', expected 2 "
    ):
        infer_features(archive, "sklearn-joblib", "model.joblib", sample, ["id"])
    found = infer_features(archive, "sklearn-joblib", "model.joblib", sample, ["id", "note"])
    assert [item.feature.name for item in found] == ["age", "visits"]


@pytest.mark.usefixtures("in_this_process")
def test_missing_and_untyped_sample_columns_are_named_together(tmp_path: Path) -> None:
    table = sample_table().drop_columns("visits").set_column(1, "age", pa.array([None] * 60, pa.null()))
    sample = write_sample(tmp_path / "other.parquet", table)
    with pytest.raises(InvalidInputError) as refused:
        infer_features(sklearn_archive(tmp_path), "sklearn-joblib", "model.joblib", sample, [])
    missing, untyped = map(str, refused.value.problems)
    assert "'other.parquet without visits', expected a sample with every feature of the artifact" in missing
    assert "It has: id, age, note" in missing
    assert "column age: got 'null', expected a column of a type that features can have" in untyped


@pytest.mark.usefixtures("in_this_process")
def test_types_of_decimals_times_bytes_and_lists_are_inferred(tmp_path: Path) -> None:
    rows = np.ones((2, 7))
    booster = xgboost.train({}, xgboost.DMatrix(rows, label=[0.0, 1.0]), 1)
    booster.save_model(tmp_path / "model.ubj")
    table = pa.table(
        {
            "price": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
            "day": pa.array([1, 2], pa.date32()),
            "sent": pa.array([1, 2], pa.timestamp("us", "Europe/Berlin")),
            "plan": pa.array([b"a", b"b"]).dictionary_encode(),
            "body": [[0.5, 1.0, 2.0], None],
        }
    )
    archive = make_archive(tmp_path / "b.tar.gz", {"model.ubj": (tmp_path / "model.ubj").read_bytes()})
    found = infer_features(archive, "xgboost-ubj", "model.ubj", write_sample(tmp_path / "s.parquet", table), [])
    assert {item.feature.name: item.feature.type for item in found} == {
        "price": "double",
        "day": "date32[day]",
        "sent": "timestamp[us, tz=Europe/Berlin]",
        "plan": "string",
        "body": "list<double>[3]",
    }


def test_artifact_is_loaded_in_a_process_without_credentials(
    tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    code = "import os; raise SystemExit(os.environ.get('AWS_SECRET_ACCESS_KEY', 'no credentials'))"
    archive = sklearn_archive(tmp_path, Malicious(code))
    with pytest.raises(InvalidInputError, match=r"can be loaded as sklearn-joblib \(SystemExit: no credentials\)"):
        infer_features(archive, "sklearn-joblib", "model.joblib", sample, [])
    dying = sklearn_archive(tmp_path, Malicious("import os; os._exit(7)"))
    with pytest.raises(InvalidInputError, match="exit code 7"):
        infer_features(dying, "sklearn-joblib", "model.joblib", sample, [])


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("sample.parquet", b"a,b\n", "it should be Parquet and looks like something else"),
        ("sample.csv", b"PAR1", "it should be CSV and looks like Parquet"),
        ("sample", b"a,b\n", r"set input\.format in the model's record"),
        ("sample", b"", "it holds no data"),
        ("sample.parquet", b"PAR1", "a Parquet file that can be read"),
        ("sample.csv", b"", "a CSV file that can be read"),
        ("sample.jsonl", b"{", "a JSON Lines file that can be read"),
    ],
)
def test_sample_whose_content_does_not_match_its_extension_is_refused(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match=why):
        infer_features(tmp_path / "model.tar.gz", "sklearn-joblib", "model.joblib", tmp_path / name, [])


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.usefixtures("in_this_process")
def test_blanks_and_words_for_numbers_are_read_as_in_a_job(tmp_path: Path) -> None:
    frame = people().rename(columns={"visits": "number of visits"})
    booster = lightgbm.train({"verbosity": -1}, lightgbm.Dataset(frame, label=frame["age"]), 2)
    assert booster.feature_name() == ["number_of_visits", "age"]
    archive = make_archive(tmp_path / "model.tar.gz", {"model.txt": booster.model_to_string().encode()})
    sample = tmp_path / "sample.jsonl"
    sample.write_text('{"number of visits": 1, "age": 2.5}\n{"number of visits": "NaN", "age": "-Infinity"}\n')
    found = infer_features(archive, "lightgbm-text", "model.txt", sample, [])
    assert [item.feature for item in found] == [Feature("number of visits", "double"), Feature("age", "double")]


@pytest.mark.usefixtures("in_this_process")
def test_types_are_inferred_from_text_samples(tmp_path: Path) -> None:
    frame = people()
    frame["visits"] = frame["visits"].astype("float").where(frame["visits"] > 0)
    frame.assign(day="2026-01-31").to_csv(tmp_path / "sample.csv.gz", index=False, sep=";", na_rep="-")
    read_as = InputOptions(csv_delimiter=";", null_values=("-",))
    archive = sklearn_archive(tmp_path)
    found = infer_features(archive, "sklearn-joblib", "model.joblib", tmp_path / "sample.csv.gz", [], read_as=read_as)
    assert [(item.feature, item.nulls) for item in found] == [
        (Feature("visits", "double"), int(frame["visits"].isna().sum())),
        (Feature("age", "double"), 0),
    ]
    for name in ("sample.jsonl", "part-0.json", "000"):
        people().to_json(tmp_path / name, orient="records", lines=True)
        found = infer_features(archive, "sklearn-joblib", "model.joblib", tmp_path / name, [])
        assert [item.feature for item in found] == [Feature("visits", "int64"), Feature("age", "double")]
    people().to_csv(tmp_path / "sample.txt", index=False)
    read_as = InputOptions(format="csv")
    found = infer_features(archive, "sklearn-joblib", "model.joblib", tmp_path / "sample.txt", [], read_as=read_as)
    assert [item.feature for item in found] == [Feature("visits", "int64"), Feature("age", "double")]


def test_register_shows_what_it_inferred_and_registers_it(
    sample: Path, account: Connection, deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path = sample.parent
    words = ["models", "register", "churn", "--artifact", str(sklearn_archive(tmp_path)), "--dataset", "customers"]
    words += ["--format", "sklearn-joblib", "--model-file", "model.joblib", "--infer-schema", str(sample)]
    assert entry.main(words) == 2
    assert "method: got nothing" in capsys.readouterr().err
    words += ["--method", "predict"]
    assert entry.main([*words, "--features", "age:double"]) == 2
    assert "either features or --infer-schema, not both" in capsys.readouterr().err
    assert entry.main(words) == 0
    shown = capsys.readouterr().out
    assert "Inferred 2 features from the artifact and the sample:" in shown
    assert ["visits", "int32", "no", "0"] in [line.split() for line in shown.splitlines()]
    [(_, version)] = Catalog(account, deployment).models()
    assert version is not None
    assert list(version.spec.features) == FEATURES


def test_register_writes_no_file_outside_the_artifacts_folder(
    sample: Path, account: Connection, deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """The artifact of CVE-2025-4517, as a data-only model that may be registered without trusting
    it.
    """
    victim, archive = sample.parent / "victim", sample.parent / "model.tar.gz"
    archive.write_bytes(realpath_overflow(victim, b"attacked", ("model.json", b"{}")))
    words = ["models", "register", "churn", "--artifact", str(archive), "--dataset", "customers", "--method", "predict"]
    words += ["--format", "xgboost-json", "--model-file", "model.json", "--infer-schema", str(sample)]
    assert entry.main(words) == 2
    assert not victim.exists()
    error = " ".join(capsys.readouterr().err.split())
    assert "member 'a' is a symbolic link, expected only files and folders" in error
    assert Catalog(account, deployment).models() == []


def test_types_of_csv_are_inferred_as_the_job_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_bytes("land;umsatz;aktiv;anzahl\nNA;1,5;ja;1\nDE;NA;nein;\n\\N;3;;NULL\nÖ;4;ja;2\n".encode("cp1252"))
    options = InputOptions(
        csv_delimiter=";", csv_decimal=",", csv_encoding="cp1252", true_values=("ja",), false_values=("nein",)
    )
    found = read_columns(path, options)
    assert [(column.name, column.type, column.nulls) for column in found] == [
        ("land", "string", 1),
        ("umsatz", "double", 1),
        ("aktiv", "bool", 1),
        ("anzahl", "int64", 2),
    ]
    # A model may have been trained on the text, so only `true` and `false` are booleans.
    path.write_bytes(b"flag,is\ny,true\nn,FALSE\n")
    assert [column.type for column in read_columns(path, InputOptions())] == ["string", "bool"]
