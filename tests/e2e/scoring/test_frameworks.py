"""Models of several frameworks, and custom code, can share one job."""

import io
import tarfile
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from cli.documents.model_document import ModelDocument
from contract.catalog.model_fields import Feature
from contract.status import ExecutionStatus
from tests.e2e.stage import FEATURES, Stage, features_of, people

CODE = """
import pathlib

def model_fn(model_dir):
    return float(pathlib.Path(model_dir, "factor.txt").read_text())

def predict_fn(data, model):
    return data["age"] * model
"""


def archive(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", "/").replace("_dot_", "."))
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def register(stage: Stage, model_id: str, artifact: Path, **fields: Any) -> None:
    stage.catalog.register(
        ModelDocument(
            model_id=model_id,
            artifact=str(artifact),
            dataset="frameworks",
            **{"method": "predict", "features": FEATURES, "key_columns": ("row",), **fields},
        )
    )


def test_models_of_several_frameworks_share_a_job_and_its_notes(stage: Stage, tmp_path: Path) -> None:
    table = people(400, 7)
    frame = features_of(table)
    labels = (frame["visits"] > 15).astype("int64")
    data = lightgbm.Dataset(frame, label=labels)
    booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 5)
    text = booster.model_to_string().encode()
    ages = frame[["age"]].to_numpy(np.float32)
    linear = LogisticRegression().fit(ages, labels)
    graph = to_onnx(linear, ages[:1], options={"zipmap": False}).SerializeToString()
    stage.put_dataset("frameworks", {"a.parquet": table, "b.parquet": table.slice(0, 100)})
    register(stage, "boosted", archive(tmp_path / "1.tar.gz", model=text), format="lightgbm-text", model_file="model")
    register(
        stage,
        "own",
        archive(tmp_path / "2.tar.gz", code__inference_dot_py=CODE.encode(), factor_dot_txt=b"2.5"),
        format="custom",
        model_file="code/inference.py",
        custom_code=True,
    )
    register(
        stage,
        "graph",
        archive(tmp_path / "3.tar.gz", model_dot_onnx=graph, code__inference_dot_py=b"raise SystemExit('not allowed')"),
        format="onnx",
        model_file="model.onnx",
        features=(Feature("age", "double"),),
        output_columns=("label", "no", "yes"),
    )
    names = ["boosted", "graph", "own"]
    try:
        execution = stage.run({"models": names, "models_per_job": 10}, "frameworks")
    finally:
        for name in names:
            stage.catalog.set_enabled(name, enabled=False)

    assert (execution.status, execution.reason) == (ExecutionStatus.SUCCEEDED, "")
    (job,) = stage.summary(execution.execution_id).jobs
    assert job.rows_scored == 3 * 500
    assert job.notes == (
        "graph: its artifact has code/inference.py, which was not run: custom_code is false in its record",
        "own: predicted by model_fn, predict_fn of the artifact's own code/inference.py",
    )
    found = {name: stage.predictions("frameworks", name, "frameworks", job.job_id)["a.parquet"] for name in names}
    np.testing.assert_array_equal(found["boosted"]["prediction"], booster.predict(frame))
    np.testing.assert_array_equal(found["own"]["prediction"], frame["age"] * 2.5)
    assert found["graph"].schema.field("label").type == pa.int64()
    assert found["graph"]["label"].to_pylist() == linear.predict(ages).tolist()
