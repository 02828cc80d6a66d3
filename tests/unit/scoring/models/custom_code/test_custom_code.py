"""Scoring with an artifact's `code/inference.py`, by SageMaker's convention."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.linear_model import LinearRegression, LogisticRegression

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.problems import InvalidInputError
from contract.status import FailureKind
from scoring.errors import ModelError
from scoring.models import load_model
from tests.unit.scoring.models.loading import NAMES, columns_of, matrix_of, spec_of
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import JobFolder

MODEL_FN = """
    import os, joblib

    def model_fn(model_dir):
        return joblib.load(os.path.join(model_dir, "model.joblib"))
"""


def archive(folder: Path, code: str, model: Any = None, **others: str) -> Path:
    """Write an unpacked model.tar.gz; `others` are further files of `code/`."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(textwrap.dedent(code))
    for name, text in others.items():
        (folder / "code" / name.replace("__", ".")).write_text(textwrap.dedent(text))
    if model is not None:
        joblib.dump(model, folder / "model.joblib")
    return folder / "model.joblib"


def custom(**fields: Any) -> ModelSpec:
    return spec_of("custom", custom_code=True, model_file="model.joblib", **fields)


@pytest.fixture
def frame(numbers: pd.DataFrame) -> pd.DataFrame:
    return numbers.fillna(0) / 1_000


@pytest.fixture
def model(frame: pd.DataFrame) -> Any:
    return LinearRegression().fit(frame, frame["hour"] * 3 + frame["delay"])


def test_model_fn_loads_and_predict_fn_gets_a_dataframe(frame: pd.DataFrame, model: Any, tmp_path: Path) -> None:
    code = (
        MODEL_FN
        + """
    def predict_fn(data, model):
        assert list(data.columns) == ["distance", "delay", "hour"], data
        return model.predict(data) * 2
    """
    )
    loaded = load_model(custom(), archive(tmp_path, code, model))
    np.testing.assert_array_equal(matrix_of(custom(), loaded, frame)[:, 0], model.predict(frame) * 2)
    assert loaded.notes == ("predicted by model_fn, predict_fn of the artifact's own code/inference.py",)
    assert not loaded.concurrent


def test_model_fn_alone_is_enough_if_its_result_has_the_method(frame: pd.DataFrame, model: Any, tmp_path: Path) -> None:
    loaded = load_model(custom(), archive(tmp_path, MODEL_FN, model))
    np.testing.assert_array_equal(matrix_of(custom(), loaded, frame)[:, 0], model.predict(frame))


def test_predict_fn_alone_gets_the_library_object_of_the_format(
    frame: pd.DataFrame, classes: pd.Series, tmp_path: Path
) -> None:
    """For each format whose library has such an object."""
    classifier = LogisticRegression().fit(frame, classes)
    code = "def predict_fn(data, model):\n    return model.predict_proba(data)[:, 1]\n"
    spec = spec_of("sklearn-joblib", custom_code=True, model_file="model.joblib")
    found = matrix_of(spec, load_model(spec, archive(tmp_path / "a", code, classifier)), frame)[:, 0]
    np.testing.assert_array_equal(found, classifier.predict_proba(frame)[:, 1])

    booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(frame, label=classes), 3)
    code = "import xgboost\n\ndef predict_fn(data, model):\n    return model.predict(xgboost.DMatrix(data)) + 1\n"
    archive(tmp_path / "b", code)
    booster.save_model(tmp_path / "b" / "model.ubj")
    spec = spec_of("xgboost-ubj", custom_code=True, model_file="model.ubj")
    found = matrix_of(spec, load_model(spec, tmp_path / "b" / "model.ubj"), frame)[:, 0]
    np.testing.assert_array_equal(found, booster.predict(xgboost.DMatrix(frame)) + 1)


READERS = {
    "text/csv": "pd.read_csv(io.StringIO(body), header=None).to_numpy()",
    "application/json": "np.array(json.loads(body), dtype=float)",
    "application/x-npy": "np.load(io.BytesIO(body))",
}


@pytest.mark.parametrize("content_type", sorted(READERS))
def test_input_fn_gets_the_batch_as_batch_transform_sends_it(
    content_type: str, training: pd.DataFrame, tmp_path: Path
) -> None:
    """Numbers arrive exactly, and missing values as missing."""
    frame = training[list(NAMES)].astype("float64").head(100)
    assert frame["delay"].isna().any()
    code = f"""
    import io, json
    import numpy as np
    import pandas as pd

    def model_fn(model_dir):
        return None

    def input_fn(body, content_type):
        assert content_type == {content_type!r}
        assert isinstance(body, bytes if content_type == "application/x-npy" else str)
        return {READERS[content_type]}

    def predict_fn(data, model):
        return np.nan_to_num(data[:, 0] + data[:, 1], nan=-1.0)
    """
    spec = custom(content_type=content_type)
    found = matrix_of(spec, load_model(spec, archive(tmp_path, code)), frame)[:, 0]
    np.testing.assert_array_equal(found, (frame["distance"] + frame["delay"]).fillna(-1.0))


WRITERS = {
    ("application/json", "json.dumps(prediction.tolist())"),
    ("application/json", 'json.dumps({"predictions": prediction.tolist()})'),
    ("application/json", "(json.dumps(prediction.tolist()), accept)"),
    ("application/json", '("\\n".join(map(json.dumps, prediction.tolist())), "application/jsonlines")'),
    ("text/csv", '"\\n".join(",".join(map(repr, row)) for row in prediction.tolist())'),
    ("text/csv", "Response(pd.DataFrame(prediction).to_csv(header=False, index=False), accept)"),
    ("application/x-npy", "npy(prediction)"),
    ("application/json", "prediction"),
    ("application/json", "prediction.tolist()"),
    ("application/json", "pd.DataFrame(prediction)"),
}


@pytest.mark.parametrize(("accept", "expression"), sorted(WRITERS))
def test_output_fn_may_return_what_sagemakers_servers_accept(
    accept: str, expression: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    code = f"""
    import io, json
    import numpy as np
    import pandas as pd

    class Response:
        def __init__(self, response, mimetype):
            self.response, self.mimetype = response, mimetype

    def npy(array):
        buffer = io.BytesIO()
        np.save(buffer, array)
        return buffer.getvalue()

    def model_fn(model_dir):
        return 1

    def predict_fn(data, model):
        return data[["distance", "hour"]].to_numpy() / 3

    def output_fn(prediction, accept):
        assert accept == {accept!r}
        return {expression}
    """
    spec = custom(accept=accept, output_columns=("first", "second"))
    found = columns_of(spec, load_model(spec, archive(tmp_path, code)), frame)
    np.testing.assert_array_equal(found["first"], frame["distance"] / 3)
    np.testing.assert_array_equal(found["second"], frame["hour"] / 3)


def test_the_record_declares_the_prediction_types(frame: pd.DataFrame, tmp_path: Path) -> None:
    code = """
    import pandas as pd

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return pd.DataFrame({"word": ["late" if x > 1 else "early" for x in data["distance"]], "hour": 7})
    """
    spec = custom(output_columns=("word", "hour"), output_types=("string", "int64"))
    found = columns_of(spec, load_model(spec, archive(tmp_path, code)), frame)
    assert set(found["word"]) == {"early", "late"}
    assert found["hour"].dtype == np.int64


def test_wrong_responses_are_refused(frame: pd.DataFrame, tmp_path: Path) -> None:
    cases: Mapping[str, str] = {
        "return data['hour'].to_numpy()[:-1]": "expected 400 x 1",
        "return None": "do not fit|of shape",
        "return '{\"other\": 1}'": r"a JSON object with \['other'\], expected a list",
        "return ('x', 'image/png')": "content of type 'image/png'",
    }
    for index, (body, expected) in enumerate(cases.items()):
        code = f"def model_fn(model_dir):\n    return 1\n\ndef predict_fn(data, model):\n    {body}\n"
        loaded = load_model(custom(), archive(tmp_path / str(index), code))
        with pytest.raises((ModelError, ValueError), match=expected):
            matrix_of(custom(), loaded, frame)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("X = 1", "has none of model_fn, input_fn, predict_fn, output_fn"),
        ("predict_fn = 3", r"has \['predict_fn'\], which cannot be called"),
        ("import not_there", "cannot be imported .*not_there"),
        ("import sys; sys.exit(0)", r"cannot be imported \(SystemExit: 0\)"),
        ("def predict_fn(data, model): return data", "has no model_fn, and format 'custom' has no other way"),
        (
            "def model_fn(d): raise OSError('no weights')",
            r"model_fn of its code/inference.py failed \(OSError at inference.py:1: no weights\)",
        ),
        ("def model_fn(d): return object()", "returned an instance of object, which has no predict: write predict_fn"),
        ("def model_fn(d): return 1\ndef transform_fn(*a): return 1", "has transform_fn, which is not supported"),
    ],
)
def test_unusable_code_is_refused_on_load(code: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=expected):
        load_model(custom(), archive(tmp_path, code))


def test_code_may_import_neighboring_modules(frame: pd.DataFrame, tmp_path: Path) -> None:
    code = """
    import helper_one

    def model_fn(model_dir):
        return helper_one.FACTOR

    def predict_fn(data, model):
        import helper_two
        return data["hour"] * model + helper_two.TERM
    """
    path = archive(tmp_path / "a", code, helper_one__py="FACTOR = 4\n", helper_two__py="TERM = 1\n")
    found = matrix_of(custom(), load_model(custom(), path), frame)[:, 0]
    np.testing.assert_array_equal(found, frame["hour"] * 4 + 1)

    other = archive(tmp_path / "b", code, helper_one__py="FACTOR = 5\n", helper_two__py="TERM = 2\n")
    with pytest.raises(ModelError, match="has a module 'helper_one', and so has model 'model' of the same job"):
        load_model(custom(model_id="other"), other)


def test_requirements_missing_in_the_image_are_refused(model: Any, tmp_path: Path) -> None:
    good = "# what it needs\nnumpy>=1.20\npandas  # any\nwinonly; sys_platform == 'win32'\n"
    load_model(custom(), archive(tmp_path / "good", MODEL_FN, model, requirements__txt=good))
    bad = "numpy<1\nno-such-package-at-all==1.0\n--index-url https://example.com\n"
    with pytest.raises(ModelError) as refused:
        load_model(custom(), archive(tmp_path / "bad", MODEL_FN, model, requirements__txt=bad))
    text = str(refused.value)
    assert f"numpy<1 (the image has {np.__version__})" in text
    assert "no-such-package-at-all==1.0 (the image has none)" in text
    assert "--index-url https://example.com (it is not a package name)" in text
    assert "a job has no network to install it" in text


def test_code_is_not_run_unless_the_record_allows_it(frame: pd.DataFrame, model: Any, tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + textwrap.dedent(MODEL_FN)
    path = archive(tmp_path / "m", code, model)
    spec = spec_of("sklearn-joblib", model_file="model.joblib")
    loaded = load_model(spec, path)
    np.testing.assert_array_equal(matrix_of(spec, loaded, frame)[:, 0], model.predict(frame))
    assert not (tmp_path / "ran").exists()
    assert loaded.notes == (
        "its artifact has code/inference.py, which was not run: custom_code is false in its record",
    )
    load_model(spec_of("sklearn-joblib", model_file="model.joblib", custom_code=True), path)
    assert (tmp_path / "ran").exists()


def test_contradictory_records_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="Set custom_code if you trust"):
        spec_of("custom")
    with pytest.raises(InvalidInputError, match="1, one per output column"):
        custom(output_types=("double", "double"))
    with pytest.raises(InvalidInputError, match="2, one per output column, or one"):
        custom(output_columns=("a", "b"), output_types=("double", "double", "double"))
    with pytest.raises(InvalidInputError, match="Arrow types out of"):
        custom(output_types=("decimal",))


def test_an_artifact_without_the_promised_code_is_refused(model: Any, tmp_path: Path) -> None:
    joblib.dump(model, tmp_path / "model.joblib")
    with pytest.raises(ModelError, match=r"its artifact has no code/inference.py: add the file, or set custom_code"):
        load_model(custom(), tmp_path / "model.joblib")


def add_custom(job: JobFolder, model_id: str, code: str, **fields: Any) -> None:
    def save(path: Path) -> None:
        path.write_text(textwrap.dedent(code))

    job.add_model(
        model_id,
        save,
        features=[Feature("distance", "double"), Feature("carrier", "string")],
        file="code/inference.py",
        declared="custom",
        custom_code=True,
        **fields,
    )


def test_custom_code_scores_with_other_models_and_is_in_the_ledger(job: JobFolder, training: pd.DataFrame) -> None:
    """The custom code's XGBoost wrapper needs scikit-learn, which the loader of Boosters avoids."""
    rows = make_flights(500, 1)
    booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(training[["distance"]], label=training["late"]), 2)
    job.add_model(
        "booster", booster.save_model, features=[Feature("distance", "double")], file="m.ubj", declared="xgboost-ubj"
    )
    code = """
    import xgboost

    def model_fn(model_dir):
        print("a print of the model's code must not harm")
        return xgboost.XGBClassifier()

    def predict_fn(data, model):
        return data["carrier"].fillna("none") + "!"
    """
    add_custom(job, "texts", code, output_types=("string",))
    job.add_object("a.parquet", rows)
    job.add_object("none.parquet", rows.head(0))
    job.write_spec(batch_rows=100)

    job.score()

    found = job.output("texts", "a.parquet")["prediction"].to_pylist()
    assert found == [f"{name}!" for name in rows["carrier"].fillna("none")]
    assert job.output("texts", "none.parquet").schema.field("prediction").type == "string"
    assert job.commit("texts", "a.parquet").notes == (
        "predicted by model_fn, predict_fn of the artifact's own code/inference.py",
    )
    assert job.commit("booster", "a.parquet").notes == ()


def test_failing_custom_code_names_the_model_and_the_rows(job: JobFolder) -> None:
    code = "def model_fn(d):\n    return 1\n\ndef predict_fn(data, model):\n    raise KeyError('colour')\n"
    add_custom(job, "texts", code)
    job.add_object("a.parquet", make_flights(50, 1))
    job.write_spec()
    ended = job.run()
    assert ended.returncode == 1
    assert job.message.startswith(f"{FailureKind.MODEL.value}: ")
    assert "(KeyError at inference.py:5)" in job.message
    assert "KeyError: 'colour'" in ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["event"] == "failed"
