"""Import of model folders written by MLflow."""

import hashlib
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import lightgbm
import pytest
import xgboost
import yaml

from cli import main as entry
from cli.documents.mlflow_folder import packed, read_mlflow_folder
from cli.stage.catalog.catalog import Catalog
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.problems import InvalidInputError
from tests.unit.cli.local_models import classifier, people, write_sample

SIGNATURE = {
    "inputs": json.dumps(
        [
            {"type": "integer", "name": "visits", "required": True},
            {"type": "double", "name": "age", "required": False},
        ]
    ),
    "outputs": json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]),
}


def write_folder(folder: Path, flavors: dict[str, Any], **more: Any) -> Path:
    described = {
        "artifact_path": "model",
        "flavors": {"python_function": {"loader_module": "mlflow.sklearn"}, **flavors},
        "run_id": "0123abc",
        "signature": SIGNATURE,
        **more,
    }
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    return folder


@pytest.fixture
def sklearn_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(classifier()))
    flavor = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle", "sklearn_version": "1.9.1"}
    return write_folder(folder, {"sklearn": flavor})


def test_sklearn_folder_gives_format_features_and_source(sklearn_folder: Path) -> None:
    model = read_mlflow_folder(sklearn_folder)
    assert model.problems == ()
    assert model.fields == {
        "format": "sklearn-joblib",
        "model_file": "model.pkl",
        "framework_version": "1.9.1",
        "features": [
            {"name": "visits", "type": "int32", "nullable": False},
            {"name": "age", "type": "double", "nullable": True},
        ],
        "method": "predict",
        "source": "mlflow 0123abc",
    }


def test_same_folder_gives_the_same_artifact(sklearn_folder: Path) -> None:
    digests = []
    for _ in range(2):
        with packed(read_mlflow_folder(sklearn_folder)) as path:
            digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
            with tarfile.open(path) as archive:
                assert archive.getnames() == ["model.pkl"]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("model_class", "suffix", "declared"),
    [
        ("xgboost.sklearn.XGBClassifier", "ubj", "xgboost-sklearn-ubj"),
        ("xgboost.core.Booster", "json", "xgboost-json"),
        (None, "ubj", "xgboost-ubj"),
    ],
)
def test_xgboost_format_follows_from_class_and_content(
    tmp_path: Path, model_class: str | None, suffix: str, declared: str
) -> None:
    frame = people()
    model = xgboost.XGBClassifier(n_estimators=2).fit(frame, frame["age"] > 40)
    (tmp_path / "m").mkdir()
    model.save_model(tmp_path / "m" / f"model.{suffix}")
    # MLflow's default name does not tell the format.
    (tmp_path / "m" / f"model.{suffix}").rename(tmp_path / "m" / "model.xgb")
    flavor = {"data": "model.xgb", "xgb_version": "3.2.0", **({"model_class": model_class} if model_class else {})}
    fields = read_mlflow_folder(write_folder(tmp_path / "m", {"xgboost": flavor})).fields
    assert (fields["format"], fields["model_file"]) == (declared, "model.xgb")


@pytest.mark.parametrize(
    ("flavors", "expected"),
    [
        (
            {"lightgbm": {"data": "m", "lb_version": "4.7.0", "model_class": "lightgbm.basic.Booster"}},
            ("lightgbm-text", "4.7.0"),
        ),
        (
            {"lightgbm": {"data": "m", "lb_version": "4.7.0", "model_class": "lightgbm.sklearn.LGBMRegressor"}},
            ("sklearn-joblib", None),
        ),
        ({"catboost": {"data": "m", "catboost_version": "1.2.10", "save_format": "cbm"}}, ("catboost-cbm", "1.2.10")),
        ({"onnx": {"data": "m", "onnx_version": "1.20.0"}}, ("onnx", "1.20.0")),
        (
            {"sklearn": {"pickled_model": "m", "serialization_format": "skops", "sklearn_version": "1.9.1"}},
            ("sklearn-skops", "1.9.1"),
        ),
    ],
)
def test_other_flavors_give_their_format_and_version(
    tmp_path: Path, flavors: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    folder = write_folder(tmp_path / "m", flavors)
    (folder / "m").write_bytes(b"content")
    fields = read_mlflow_folder(folder).fields
    assert (fields["format"], fields.get("framework_version")) == expected
    assert fields["model_file"] == "m"


@pytest.mark.usefixtures("account")
def test_pickled_lightgbm_wrapper_is_scored_as_an_estimator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = people()
    model = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=2, n_jobs=1, verbosity=-1)
    model.fit(frame, frame["age"] > 40)
    flavor = {"data": "model.pkl", "model_class": "lightgbm.sklearn.LGBMClassifier"}
    folder = write_folder(tmp_path / "m", {"lightgbm": flavor})
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    words = ["models", "import", "churn", "--mlflow", str(folder), "--dataset", "customers"]
    assert entry.main([*words, "--method", "predict_proba", "--output-columns", "no,yes"]) == 0
    capsys.readouterr()
    assert entry.main(["models", "test", "churn", str(write_sample(tmp_path / "s.parquet")), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["first_rows"][0]
    assert first["yes"] == model.predict_proba(frame.head(1))[0, 1]


@pytest.mark.parametrize(
    ("flavors", "files", "why"),
    [
        ({"pytorch": {}}, {}, "expected one of the flavors sklearn, xgboost, lightgbm, catboost, onnx"),
        ({"sklearn": {"pickled_model": "model.pkl"}}, {}, "sklearn: pickled_model: got 'model.pkl', expected a file"),
        ({"sklearn": {"pickled_model": "../model.pkl"}}, {}, "the path of a file in the folder"),
        ({"sklearn": {"pickled_model": "m", "serialization_format": "dill"}}, {"m": b""}, "got 'dill'"),
        ({"xgboost": {"data": "model.xgb"}}, {"model.xgb": b"binf..."}, "not in its old binary format"),
        ({"xgboost": {}}, {}, "xgboost: data: got nothing"),
        ({"lightgbm": {"data": "model.lgb"}}, {}, "lightgbm: data: got 'model.lgb', expected a file"),
        ({"catboost": {"data": "m", "save_format": "json"}}, {"m": b""}, "got 'json', expected the save_format cbm"),
        ({"onnx": {}}, {}, "onnx: data: got nothing"),
    ],
)
def test_mlflow_folder_that_cannot_be_scored_is_refused(
    tmp_path: Path, flavors: dict[str, Any], files: dict[str, bytes], why: str
) -> None:
    folder = write_folder(tmp_path / "m", flavors)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match=why):
        read_mlflow_folder(folder)


@pytest.mark.parametrize(("text", "why"), [("a: [", "expected YAML"), ("[]", "flavors"), ("!!python/name:os", "YAML")])
def test_invalid_mlmodel_file_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidInputError, match="a folder with a file MLmodel"):
        read_mlflow_folder(tmp_path)
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(InvalidInputError, match=why):
        read_mlflow_folder(tmp_path)


def test_import_options_override_the_mlflow_folder(
    sklearn_folder: Path, account: Connection, deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["models", "import", "churn", "--mlflow", str(sklearn_folder), "--dataset", "customers"]
    assert entry.main([*words, "--method", "predict_proba", "--tag", "team=ads"]) == 0
    [(model, version)] = Catalog(account, deployment).models()
    assert version is not None
    assert (version.spec.method, version.source, model.tags) == ("predict_proba", "mlflow 0123abc", {"team": "ads"})
    sample = write_sample(sklearn_folder / "sample.parquet")
    assert entry.main(["models", "test", "churn", str(sample)]) == 0
    capsys.readouterr()


@pytest.mark.usefixtures("account")
def test_folder_without_named_columns_needs_features(sklearn_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described = yaml.safe_load((sklearn_folder / "MLmodel").read_text())
    matrix = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]
    words = ["models", "import", "churn", "--mlflow", str(sklearn_folder), "--dataset", "customers"]
    for inputs, why in (
        (matrix, "signature: got nothing, expected named columns in the model's signature. Add --features"),
        ([{"type": "binary", "name": "day"}], "signature: day: got 'binary', expected one of boolean"),
    ):
        write_folder(sklearn_folder, described["flavors"], signature={"inputs": json.dumps(inputs)})
        assert entry.main(words) == 2
        assert why in capsys.readouterr().err
        assert entry.main([*words, "--features", "visits:int32,age:double"]) == 0
        capsys.readouterr()


def folder_with(tmp_path: Path, flavor: str, values: dict[str, Any], **function: Any) -> Path:
    folder = write_folder(
        tmp_path / "m",
        {flavor: values, "python_function": {"loader_module": f"mlflow.{flavor}", **function}},
    )
    (folder / "m").write_bytes(b"{" if flavor == "xgboost" else b"content")
    return folder


@pytest.mark.parametrize("called", ["predict", "predict_proba"])
def test_method_is_the_function_that_mlflow_calls(tmp_path: Path, called: str) -> None:
    folder = folder_with(tmp_path, "sklearn", {"pickled_model": "m"}, predict_fn=called)
    assert read_mlflow_folder(folder).fields["method"] == called


@pytest.mark.parametrize(
    ("flavor", "values", "function", "field"),
    [
        ("sklearn", {"pickled_model": "m"}, {"predict_fn": "predict_log_proba"}, "python_function: predict_fn"),
        ("sklearn", {"pickled_model": "m"}, {"predict_fn": "score"}, "python_function: predict_fn"),
        ("catboost", {"data": "m", "model_type": "CatBoost"}, {}, "catboost: model_type"),
    ],
)
def test_function_that_no_method_gives_needs_an_option(
    tmp_path: Path, flavor: str, values: dict[str, Any], function: dict[str, Any], field: str
) -> None:
    found = read_mlflow_folder(folder_with(tmp_path, flavor, values, **function))
    assert "method" not in found.fields
    assert found.method_problem is not None
    assert (found.method_problem.field, "--method" in found.method_problem.remedy) == (field, True)


@pytest.mark.parametrize(
    ("parameters", "method"),
    [
        ([], "predict"),
        ([{"name": "output_margin", "type": "boolean", "default": True, "shape": None}], "margin"),
        ([{"name": "output_margin", "type": "boolean", "default": False, "shape": None}], "predict"),
        ([{"name": "temperature", "type": "double", "default": 0.5, "shape": None}], "predict"),
        ([{"name": "pred_leaf", "type": "boolean", "default": True, "shape": None}], None),
    ],
)
def test_defaults_that_mlflow_passes_to_xgboost_count(
    tmp_path: Path, parameters: list[dict[str, Any]], method: str | None
) -> None:
    folder = write_folder(
        tmp_path / "m",
        {"xgboost": {"data": "m"}, "python_function": {"loader_module": "mlflow.xgboost"}},
        signature={**SIGNATURE, "params": json.dumps(parameters)},
    )
    (folder / "m").write_bytes(b'{"learner": {}}')
    found = read_mlflow_folder(folder)
    assert found.fields.get("method") == method
    assert (found.method_problem is None) == (method is not None)


def test_flavor_is_the_one_that_mlflow_loads(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "m",
        {
            "sklearn": {"pickled_model": "m"},
            "lightgbm": {"data": "m"},
            "python_function": {"loader_module": "mlflow.lightgbm"},
        },
    )
    (folder / "m").write_bytes(b"content")
    assert read_mlflow_folder(folder).fields["format"] == "lightgbm-text"


def test_code_of_the_folders_own_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "sklearn", {"pickled_model": "m"}, loader_module="mlflow.pyfunc.model")
    with pytest.raises(InvalidInputError, match=r"mlflow\.pyfunc\.model.*custom code"):
        read_mlflow_folder(folder)


@pytest.mark.usefixtures("account")
def test_method_of_another_function_can_be_given(sklearn_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described = yaml.safe_load((sklearn_folder / "MLmodel").read_text())
    described["flavors"]["python_function"]["predict_fn"] = "predict_log_proba"
    (sklearn_folder / "MLmodel").write_text(yaml.safe_dump(described))
    words = ["models", "import", "churn", "--mlflow", str(sklearn_folder), "--dataset", "customers"]
    assert entry.main(words) != 0
    assert "predict_fn" in capsys.readouterr().err
    assert entry.main([*words, "--method", "predict_proba"]) == 0
