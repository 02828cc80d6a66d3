"""Fleetscore with one joined output for all models: the columns of the input once, then those of each model."""

import dataclasses
import os
import sys
from pathlib import Path

from benchmarks.contenders import arguments
from benchmarks.contenders.fleetscore import container_environment
from contract.codec import dumps, loads
from contract.container_paths import ContainerPaths
from contract.job.joined import joined_names
from contract.job.scoring_spec import JobSpec


def main() -> None:
    """Replace this process by the container's, in a separate folder with a job spec of its own."""
    root, output = arguments()
    shared, job = ContainerPaths(root), ContainerPaths(output / "ml")
    job.spec.parent.mkdir(parents=True)
    job.snapshot.parent.symlink_to(shared.snapshot.parent)
    job.data.symlink_to(shared.data)
    job.models.symlink_to(shared.models)
    (job.root / "config").symlink_to(root / "config")
    spec = loads(JobSpec, shared.spec.read_bytes())
    job.spec.write_text(dumps(dataclasses.replace(spec, output_layout="joined")), encoding="utf-8")
    environment = {**os.environ, **container_environment(job.root)}
    os.execve(sys.executable, [sys.executable, "-m", "scoring"], environment)  # noqa: S606 - no shell is wanted


def outputs(output: Path) -> Path:
    """Return the folder with the predictions of all models."""
    return ContainerPaths(output / "ml").predictions


def column_of(model: str) -> str:
    """Return the column with the predictions of a model."""
    return joined_names(model, ["prediction"])[0]


if __name__ == "__main__":
    main()
