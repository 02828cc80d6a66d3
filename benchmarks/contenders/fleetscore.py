"""Fleetscore's container code as a job runs it: `python -m scoring` over a job's folder, files only."""

import os
import sys
from pathlib import Path

from benchmarks.contenders import arguments
from contract.environment import ML_ROOT
from contract.layout import ContainerPaths, output_key

REPOSITORY = Path(__file__).parents[2]


def main() -> None:
    """Become the container's process in a folder of its own that shares the job's inputs."""
    root, output = arguments()
    job = output / "ml"
    (job / "processing").mkdir(parents=True)
    (job / "processing" / "input").symlink_to(root / "processing" / "input")
    (job / "config").symlink_to(root / "config")
    environment = {**os.environ, **container_environment(job)}
    os.execve(sys.executable, [sys.executable, "-m", "scoring"], environment)  # noqa: S606 - no shell is wanted


def container_environment(job: Path) -> dict[str, str]:
    """What stands for the image: its modules, and its /opt/ml."""
    path = os.pathsep.join([str(REPOSITORY / "inference_container"), str(REPOSITORY)])
    return {"PYTHONPATH": path, ML_ROOT: str(job)}


def outputs(output: Path, model: str) -> Path:
    """Where the predictions of a model lie afterwards."""
    return ContainerPaths(output / "ml").predictions / Path(output_key("benchmark", model, "execution-1", "x")).parent


if __name__ == "__main__":
    main()
