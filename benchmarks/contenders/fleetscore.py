"""Fleetscore's container code as a job runs it: `python -m scoring` over a job's folder."""

import os
import sys
from pathlib import Path

from benchmarks.contenders import FLEET_OUTPUT, arguments
from contract.container_paths import ContainerPaths
from contract.environment import ML_ROOT
from contract.layout import output_key

REPOSITORY = Path(__file__).parents[2]


def main() -> None:
    """Replace this process by the container's, in a separate folder that links to the job's inputs."""
    root, output = arguments()
    job = output / "ml"
    (job / "processing").mkdir(parents=True)
    (job / "processing" / "input").symlink_to(root / "processing" / "input")
    (job / "config").symlink_to(root / "config")
    environment = {**os.environ, **container_environment(job)}
    os.execve(sys.executable, [sys.executable, "-m", "scoring"], environment)  # noqa: S606 - no shell is wanted


def container_environment(job: Path) -> dict[str, str]:
    """Return the variables that replace the image: its module path, and its /opt/ml."""
    path = os.pathsep.join([str(REPOSITORY / "inference_container"), str(REPOSITORY)])
    return {"PYTHONPATH": path, ML_ROOT: str(job)}


def outputs(output: Path, table: str) -> Path:
    """Return the folder with the predictions of a model or a fleet."""
    predictions = ContainerPaths(output / "ml").predictions
    return predictions if table == FLEET_OUTPUT else predictions / output_key(table, "")


if __name__ == "__main__":
    main()
