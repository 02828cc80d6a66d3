"""A network from the user's training script is trained and scored by the container's processes."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from contract.catalog.model_formats import Framework
from contract.training.training_spec import TrainingReport
from tests.frameworks.documented_script import LABEL, recipe, script
from tests.unit.scoring.support.job_folder import JobFolder
from tests.unit.training.training_folder import TrainingFolder

FEATURES = (
    Feature("age", "double", nullable=False),
    Feature("visits", "int64", nullable=False),
    Feature("spend", "double", nullable=False),
)
MODELS: dict[Framework, dict[str, Any]] = {
    "pytorch": {"format": "pytorch-export", "model_file": "model.pt2"},
    "tensorflow": {"format": "tensorflow-savedmodel", "model_file": "1/saved_model.pb"},
}
OWN_PREDICTIONS = """
import numpy
numpy.save(Path(os.environ["SM_OUTPUT_DATA_DIR"], "own.npy"), predict(rows[names].to_numpy("float32")))
"""


@pytest.fixture
def job(tmp_path: Path) -> TrainingFolder:
    return TrainingFolder(tmp_path / "training")


def people(rows: int) -> pa.Table:
    """Return rows that a network can learn from, with features of different scales."""
    random = np.random.default_rng(11)
    age, visits = random.normal(45, 15, rows), random.integers(0, 30, rows)
    late = visits + random.normal(0, 4, rows) > 15
    columns = {"row": np.arange(rows), "age": age, "visits": visits, "spend": random.gamma(2.0, 50.0, rows)}
    return pa.table({**columns, LABEL: late.astype("int64")})


def with_null(table: pa.Table) -> pa.Table:
    """Replace a value in the first row by null."""
    column = pa.array([None, *table["spend"].to_pylist()[1:]], pa.float64())
    return table.set_column(table.column_names.index("spend"), "spend", column)


def write_job(job: TrainingFolder, framework: Framework, text: str, table: pa.Table) -> None:
    """Write the training job of the documented recipe."""
    shown = recipe()
    # Two objects, which the script must both read.
    job.add_object("a.parquet", table.slice(0, 700))
    job.add_object("deep/b.parquet", table.slice(700))
    job.add_code({shown["code"]["program"]: text})
    job.write_spec(
        **{name: shown[name] for name in ("trainer", "task", "label", "method")},
        features=FEATURES,
        output_columns=tuple(shown["output_columns"]),
        hyperparameters={"sagemaker_program": shown["code"]["program"], **shown["hyperparameters"]},
        **MODELS[framework],
    )


def scored(folder: JobFolder, trained: TrainingFolder, report: TrainingReport, table: pa.Table) -> pa.Table:
    """Score with the content of the model folder, as SageMaker packs it after training."""
    unlabelled = table.drop_columns([LABEL])
    folder.add_object("all.parquet", unlabelled, row_group_size=300)
    folder.add_object("null.parquet", with_null(unlabelled.slice(0, 10)))
    folder.add_model(
        report.model_id,
        lambda path: shutil.copytree(trained.paths.model, folder.paths.root / "packing" / "late", dirs_exist_ok=True),
        features=report.features,
        file=report.model_file,
        declared=report.format,
        method=report.method,
        output_columns=report.output_columns,
        framework_version=report.framework_version,
        tolerated_quarantine_fraction=0.5,
    )
    # The last batch has one row, which a program may mistake for a vector.
    folder.write_spec(batch_rows=333)
    folder.score("--cores", "2")
    return folder.output(report.model_id, "all.parquet")


@pytest.mark.parametrize("framework", MODELS)
def test_a_trained_network_scores_as_it_predicts_in_its_script(
    framework: Framework, job: TrainingFolder, tmp_path: Path
) -> None:
    table = people(1_000)
    write_job(job, framework, script(framework) + OWN_PREDICTIONS, table)

    report = job.train("--cores", "2")

    assert (report.framework, report.output_columns) == (framework, ("late",))
    assert report.framework_version
    assert report.metric_value is not None
    assert report.metric_value > recipe()["promotion"]["floor"]
    assert report.model_bytes == (job.paths.model / report.model_file).stat().st_size
    own = np.load(job.paths.output_data / "own.npy").reshape(-1)
    assert own.min() < 0.2
    assert own.max() > 0.8
    scoring = JobFolder(tmp_path / "scoring")
    found = scored(scoring, job, report, table)
    assert found["row"].to_pylist() == list(range(1_000))
    np.testing.assert_allclose(found["late"], own, rtol=1e-5, atol=1e-6)
    # Without notes, the reported version equals the installed one.
    assert scoring.commit(report.model_id, "all.parquet").notes == ()
    # The row with a null is quarantined, although Keras would predict a number.
    with_a_null = scoring.commit(report.model_id, "null.parquet")
    assert (with_a_null.rows_scored, with_a_null.rows_quarantined) == (9, 1)


def test_a_program_for_a_fixed_number_of_rows_fails_the_training(job: TrainingFolder) -> None:
    fixed = script("pytorch").replace("dynamic_shapes=dynamic", "dynamic_shapes=None")
    write_job(job, "pytorch", fixed, people(1_000))

    failure = job.refused()

    assert failure.startswith("MODEL: model 'late': ")
    assert "takes exactly 2 rows: export it" in failure


def test_nulls_in_the_data_fail_the_training(job: TrainingFolder) -> None:
    """Keras would train on them silently."""
    write_job(job, "tensorflow", script("tensorflow"), with_null(people(300)))

    ended = job.run()

    assert ended.returncode == 1
    assert job.failure.startswith("DATA: the training script 'train.py' ended with exit code 1")
    assert "1 of 300 rows lack a feature or the label: fill" in ended.stdout + ended.stderr
