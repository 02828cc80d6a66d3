"""A whole job per format, as SageMaker starts it, predicts what the model's library predicts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from contract.job.fleet import FleetSpec
from tests.frameworks.records import NAMES, matrix, numbers
from tests.unit.scoring.support.job_folder import JobFolder, doubles

Saver = Callable[[Path], object]
Predict = Callable[[Any], Any]


@pytest.fixture
def job(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path / "ml")


def torch_model(declared: str) -> tuple[Saver, Predict]:
    import torch  # noqa: PLC0415 - no job has both frameworks in a process

    module = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).eval()

    def save(path: Path) -> None:
        if declared == "torchscript":
            torch.jit.script(module).save(str(path))
        else:
            rows = torch.export.Dim("rows")
            torch.export.save(torch.export.export(module, (torch.zeros(2, 3),), dynamic_shapes=({0: rows},)), path)

    return save, lambda rows: module(torch.from_numpy(rows)).detach().numpy()


def keras_model(declared: str) -> tuple[Saver, Predict]:
    import scoring.models.tensors.tensorflow_library  # noqa: F401, PLC0415 - sets Keras's backend

    import keras  # isort: skip  # noqa: PLC0415

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])

    def save(path: Path) -> None:
        if declared == "keras":
            model.save(path)
        else:
            model.export(path.parent, verbose=False)

    return save, lambda rows: np.asarray(model(rows))


FORMATS = pytest.mark.parametrize(
    ("declared", "file", "make"),
    [
        ("pytorch-export", "model.pt2", torch_model),
        ("torchscript", "model.pt", torch_model),
        ("keras", "model.keras", keras_model),
        ("tensorflow-savedmodel", "export/1/saved_model.pb", keras_model),
    ],
)


@FORMATS
def test_each_row_is_scored_as_by_the_models_library(
    declared: str, file: str, make: Callable[[str], tuple[Saver, Predict]], job: JobFolder
) -> None:
    save, predict = make(declared)
    rows = numbers(1_001)
    table = pa.table({"row": np.arange(1_001), **rows})
    job.add_object("a.parquet", table.slice(0, 700), row_group_size=130)
    job.add_object("deep/b.parquet", table.slice(700))
    job.add_object("none.parquet", table.slice(0, 0))
    job.add_model("network", save, features=doubles(*NAMES), file=file, declared=declared, key_columns=("row",))
    # The last batch of an object has one row, which a program may mistake for a vector.
    job.write_spec(batch_rows=300)

    job.score("--cores", "2")

    found = pa.concat_tables([job.output("network", key) for key in ("a.parquet", "deep/b.parquet")])
    assert found.drop_columns(["prediction"]).equals(table)
    np.testing.assert_allclose(found["prediction"], predict(matrix(rows)).reshape(-1), rtol=1e-5, atol=1e-6)
    assert job.output("network", "none.parquet").schema == found.schema
    commit = job.commit("network", "a.parquet")
    assert (commit.rows_in, commit.rows_scored) == (700, 700)


def test_repeated_jobs_give_identical_files(job: JobFolder, tmp_path: Path) -> None:
    save, _ = torch_model("torchscript")
    again = JobFolder(tmp_path / "again")
    table = pa.table(numbers(1_000))
    for folder in (job, again):
        folder.add_object("a.parquet", table)
    job.add_model("network", save, features=doubles(*NAMES), file="model.pt", declared="torchscript")
    job.write_spec(batch_rows=300)
    spec = job.models[0]
    archive = job.paths.models / "network" / "v1" / "model.tar.gz"
    target = again.paths.models / "network" / "v1" / "model.tar.gz"
    target.parent.mkdir(parents=True)
    target.write_bytes(archive.read_bytes())
    again.models.append(spec)
    again.write_spec(batch_rows=300)
    for folder, cores in ((job, "1"), (again, "2")):
        folder.score("--cores", cores)
    assert job.files() == again.files()


def test_a_failing_model_is_named_in_the_exit_message(job: JobFolder) -> None:
    save, _ = torch_model("torchscript")
    job.add_object("a.parquet", pa.table(numbers(10)))
    features = [*doubles(*NAMES), Feature("hour2", "double")]
    job.add_model("network", save, features=features, file="model.pt", declared="torchscript")
    job.write_spec()
    assert job.run().returncode == 1
    assert job.message.startswith("MODEL: model 'network': it failed on a trial of 1 to 4 rows with 4 features")


@FORMATS
def test_networks_share_an_output_joined_and_as_a_fleet(
    declared: str, file: str, make: Callable[[str], tuple[Saver, Predict]], tmp_path: Path
) -> None:
    rows = numbers(400)
    routes = np.where(np.arange(400) % 3 == 0, "north", "south")
    table = pa.table({"region": routes, **rows})
    networks = {name: make(declared) for name in ("north", "south")}
    outputs = {}
    for layout in ("joined", "fleet"):
        job = JobFolder(tmp_path / layout)
        for name, (save, _) in networks.items():
            job.add_model(name, save, features=doubles(*NAMES), file=file, declared=declared)
        job.add_object("a.parquet", table)
        fleet = FleetSpec("regions", "region", {name: name for name in networks}) if layout == "fleet" else None
        job.write_spec(batch_rows=150, fleet=fleet, output_layout="joined" if fleet is None else "per_model")
        job.score("--cores", "2")
        outputs[layout] = pq.read_table(job.paths.predictions / "a.parquet", partitioning=None)

    for name, (_, predict) in networks.items():
        expected = predict(matrix(rows))[:, 0]
        np.testing.assert_allclose(outputs["joined"][name].to_numpy(), expected, rtol=1e-5)
        own = routes == name
        assert set(np.asarray(outputs["fleet"]["model_id"])[own]) == {name}
        np.testing.assert_allclose(outputs["fleet"]["prediction"].to_numpy()[own], expected[own], rtol=1e-5)
