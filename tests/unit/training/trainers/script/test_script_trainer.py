"""`launcher train` with trainer `script`: the user's archive, run as SageMaker's containers do."""

import json
import signal
from pathlib import Path

import joblib
import numpy as np
import pytest

from contract.container_paths import TrainingPaths
from tests.unit.training.training_folder import SCRIPT, TrainingFolder, numbers_frame
from tests.unit.warm_process import DEADLINE_SECONDS
from training.trainers.script.environment import variables

TRAIN = """
import argparse, json, os
import joblib, pandas as pd
from sklearn.linear_model import LogisticRegression
from helper import columns

parser = argparse.ArgumentParser()
parser.add_argument("-C", type=float)
parser.add_argument("--note")
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
arguments = parser.parse_args()
frame = pd.read_parquet(os.path.join(arguments.train, "a.parquet"))
model = LogisticRegression(C=arguments.C).fit(frame[columns], frame["two"])
joblib.dump(model, os.path.join(arguments.model_dir, "model.joblib"))
with open(os.path.join(arguments.model_dir, "metrics.json"), "w") as file:
    json.dump({"auc": 0.75, "lift": 3}, file)
with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "seen.json"), "w") as file:
    environment = {name: value for name, value in os.environ.items() if name.startswith(("SM_", "AWS_"))}
    json.dump({"environment": environment, "note": arguments.note}, file)
"""
SPEC = {**SCRIPT, "hyperparameters": {"sagemaker_program": "train.py", "C": "0.5", "note": '"two words"'}}


@pytest.fixture
def script(job: TrainingFolder) -> TrainingFolder:
    job.add_object("a.parquet", numbers_frame(300, 1).dropna())
    job.write_spec(**SPEC)
    return job


def test_unfinished_work_among_the_channels_is_no_channel(tmp_path: Path) -> None:
    paths = TrainingPaths(tmp_path)
    for name in ("train", ".unfinished"):
        (paths.data / name).mkdir(parents=True)
    found = variables(paths, "train.py", "code", {}, roots=[paths.data / "train"], cores=1, gpus=0)
    assert json.loads(found["SM_CHANNELS"]) == ["train"]
    assert [name for name in found if name.startswith("SM_CHANNEL_")] == ["SM_CHANNEL_TRAIN"]


def with_script(job: TrainingFolder, text: str) -> TrainingFolder:
    job.add_code({"train.py": text})
    return job


def test_a_script_gets_its_environment_and_its_model_is_checked(
    script: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.setenv(name, "of the job role")
    script.add_code({"train.py": TRAIN, "helper.py": "columns = ['a', 'b', 'c']"})
    script.add_object("v.parquet", numbers_frame(10, 2), "validation")
    script.write_spec(**SPEC)

    report = script.train("--cores", "2")

    seen = json.loads((script.paths.output_data / "seen.json").read_text())
    environment = seen["environment"]
    assert seen["note"] == "two words"
    assert [name for name in environment if name.startswith("AWS_")] == ["AWS_REGION"]
    assert environment["SM_CHANNEL_TRAIN"] == str(script.folders["train"])
    assert environment["SM_CHANNEL_VALIDATION"] == str(script.folders["validation"])
    assert json.loads(environment["SM_CHANNELS"]) == ["code", "spec", "train", "validation"]
    assert environment["SM_MODEL_DIR"] == str(script.paths.model)
    assert json.loads(environment["SM_HPS"]) == {"C": 0.5, "note": "two words"}
    assert environment["SM_HP_C"] == "0.5"
    assert environment["SM_HP_NOTE"] == "two words"
    assert json.loads(environment["SM_USER_ARGS"]) == ["-C", "0.5", "--note", "two words"]
    assert (environment["SM_CURRENT_HOST"], json.loads(environment["SM_HOSTS"])) == ("algo-1", ["algo-1"])
    assert (environment["SM_NUM_CPUS"], environment["SM_NUM_GPUS"]) == ("2", "0")
    assert environment["SM_USER_ENTRY_POINT"] == "train.py"
    assert json.loads(environment["SM_TRAINING_ENV"])["channel_input_dirs"]["train"] == str(script.folders["train"])
    assert (report.metrics, report.metric_value) == ({"auc": 0.75, "lift": 3.0}, 0.75)
    assert (report.rows_total, report.rows_trained, report.best_iteration) == (None, None, None)
    assert report.output_columns == ("prediction",)
    assert isinstance(joblib.load(script.paths.model / "model.joblib").coef_, np.ndarray)


def test_a_script_may_write_no_metrics(script: TrainingFolder) -> None:
    text = TRAIN.replace('json.dump({"auc": 0.75, "lift": 3}, file)', "os.remove(file.name)")
    script.add_code({"train.py": text, "helper.py": "columns = ['a', 'b', 'c']"})

    report = script.train()

    assert (report.metrics, report.metric_value) == ({}, None)


NAMED = "the training script 'train.py'"
OWN_FAILURE = """
import os, pathlib, sys
pathlib.Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("DATA: rows lack ages")
sys.exit(1)
"""
WRITE = """
import os, pathlib
folder = pathlib.Path(os.environ["SM_MODEL_DIR"])
folder.joinpath("model.joblib").write_text("not loaded, because the metrics are read first")
folder.joinpath("metrics.json").write_text({metrics!r})
"""
NO_PICKLE = "import os; open(os.path.join(os.environ['SM_MODEL_DIR'], 'model.joblib'), 'w').write('no pickle')"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "raise KeyError('no age')",
            f"MODEL: {NAMED} ended with exit code 1 (KeyError at train.py:1): what it",
        ),
        ("import sys; sys.exit(3)", f"MODEL: {NAMED} ended with exit code 3: what it wrote is in the job's log"),
        (OWN_FAILURE, f"DATA: {NAMED} ended with exit code 1: what it wrote is in the job's log"),
        ("import os; os.kill(os.getpid(), 9)", f"TRANSIENT: {NAMED} was killed (SIGKILL)"),
        ("import os; os.abort()", f"MODEL: {NAMED} ended with signal 6"),
        ("open('x', 'w')", f"MODEL: {NAMED} succeeded but wrote no 'model.joblib' to SM_MODEL_DIR, it wrote nothing"),
        (NO_PICKLE, "MODEL: model 'late': 'model.joblib' cannot be loaded as sklearn-joblib"),
    ],
)
def test_a_failing_script_reports_the_reason(script: TrainingFolder, text: str, expected: str) -> None:
    assert with_script(script, text).refused().startswith(expected)


@pytest.mark.parametrize(
    "metrics",
    ["{", "[1]", '{"auc": "0.5"}', '{"auc": NaN}', '{"auc": true}', '{"auc": 1e101}', '{"auc": 1' + "0" * 390 + "}"],
)
def test_metrics_that_are_not_numbers_are_refused(script: TrainingFolder, metrics: str) -> None:
    with_script(script, WRITE.format(metrics=metrics))
    failure = script.refused()
    assert failure.startswith(
        "MODEL: metrics.json in SM_MODEL_DIR must be one small JSON object of numbers up to 1e+100"
    )


@pytest.mark.parametrize(
    ("hyperparameters", "files", "expected"),
    [
        ({}, {"train.py": ""}, "hyperparameter sagemaker_program: got nothing, expected the path of a Python script"),
        ({"sagemaker_program": "../train.py"}, {"train.py": ""}, "hyperparameter sagemaker_program: got '../train.py'"),
        ({"sagemaker_program": "main.py"}, {"train.py": ""}, "sourcedir.tar.gz has no 'main.py', it has 'train.py'"),
        ({"sagemaker_program": "train.py"}, {}, "give the job a channel 'code' with sourcedir.tar.gz"),
        ({"sagemaker_program": "train.py"}, {"../train.py": ""}, "sourcedir.tar.gz cannot be unpacked"),
        ({"sagemaker_program": "train.py"}, {"train.py": "", "requirements.txt": ""}, "a training job has no network"),
    ],
)
def test_an_archive_that_cannot_be_run_is_refused(
    script: TrainingFolder, hyperparameters: dict[str, str], files: dict[str, str], expected: str
) -> None:
    script.write_spec(**{**SPEC, "hyperparameters": hyperparameters})
    if files:
        script.add_code(files)
    failure = script.refused()
    assert failure.startswith("CONFIGURATION: ")
    assert expected in failure


def test_a_replaced_archive_is_not_run(script: TrainingFolder) -> None:
    script.write_spec(**{**SPEC, "code_sha256": "0" * 64})
    failure = with_script(script, f"open({str(script.paths.checkpoints / 'ran')!r}, 'w')").refused()
    assert failure.startswith("CONFIGURATION: sourcedir.tar.gz has SHA-256 ")
    assert f"the training spec says {'0' * 64}: it was replaced" in failure
    assert not list(script.paths.checkpoints.iterdir())


@pytest.mark.parametrize("after", ["sys.exit(0)", "sys.exit(7)"])
def test_sigterm_reaches_the_script_and_is_never_a_success(script: TrainingFolder, after: str) -> None:
    text = f"""
import os, pathlib, signal, subprocess, sys
def stop(number, frame):
    pathlib.Path({str(script.paths.checkpoints)!r}, "kept").write_text("state")
    pathlib.Path(os.environ["SM_MODEL_DIR"], "model.joblib").write_text("half")
    {after}
signal.signal(signal.SIGTERM, stop)
left = subprocess.Popen([sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"])
print("ready", flush=True)
signal.pause()
"""
    with with_script(script, text).start() as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ready"):
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 128 + signal.SIGTERM
    assert script.failure.startswith("TRANSIENT: the container got SIGTERM")
    assert not script.paths.report.exists()
    assert (script.paths.checkpoints / "kept").read_text() == "state"
