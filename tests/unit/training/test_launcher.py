"""The image's entry point starts scoring or training by its arguments."""

import subprocess
import sys
from pathlib import Path

from contract.container_paths import ContainerPaths
from embedded.images.image_store import ImageStore
from tests.unit.training.training_folder import TrainingFolder
from tests.unit.warm_process import REPOSITORY


def launch(job: TrainingFolder, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launcher", *arguments],
        env=job.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_train_trains_and_no_argument_scores(job: TrainingFolder) -> None:
    assert launch(job, "train").returncode == 1
    assert job.failure.startswith("CONFIGURATION: the training spec cannot be read")
    scoring_paths = ContainerPaths(job.paths.root)
    assert not scoring_paths.exit_message.exists()

    assert launch(job).returncode == 1
    assert scoring_paths.exit_message.read_text().startswith("CONFIGURATION: the job spec cannot be read")


def test_further_arguments_reach_training_or_scoring(job: TrainingFolder) -> None:
    assert "usage: training" in launch(job, "train", "--help").stdout
    assert "usage: scoring" in launch(job, "--help").stdout
    assert "--cores must be a whole number of at least 1" in launch(job, "train", "--cores", "0").stderr


def test_serve_is_refused(job: TrainingFolder) -> None:
    ended = launch(job, "serve")
    assert ended.returncode == 1
    assert "endpoints are not supported" in ended.stderr


def test_the_image_trains_with_the_argument_train(tmp_path: Path, job: TrainingFolder) -> None:
    store = ImageStore(tmp_path / "store")
    store.register("fleetscore:test", REPOSITORY, "inference_container/Dockerfile")
    image = store.resolve("fleetscore:test")
    assert image is not None
    command = image.command(arguments=["train"], ml_root=job.paths.root)
    ml_root = {name: value for name, value in job.environment().items() if name.startswith("FLEETSCORE_")}

    ended = subprocess.run(
        command.argv,
        cwd=command.working_directory,
        env={**command.environment, **ml_root},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1, ended.stderr
    assert job.failure.startswith("CONFIGURATION: the training spec cannot be read")
