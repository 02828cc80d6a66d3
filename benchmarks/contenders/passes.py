"""Fleetscore with one job per model, one after the other over the same data."""

import dataclasses
import os
import subprocess
import sys

from benchmarks.contenders import arguments
from benchmarks.contenders.fleetscore import container_environment
from contract.codec import dumps, loads
from contract.container_paths import ContainerPaths
from contract.job.scoring_spec import JobSpec


def main() -> None:
    root, output = arguments()
    shared = ContainerPaths(root)
    spec = loads(JobSpec, shared.spec.read_bytes())
    for model in spec.models:
        job = ContainerPaths(output / model.model_id / "ml")
        job.spec.parent.mkdir(parents=True)
        job.snapshot.parent.symlink_to(shared.snapshot.parent)
        job.data.symlink_to(shared.data)
        job.models.symlink_to(shared.models)
        (job.root / "config").symlink_to(root / "config")
        job.spec.write_text(dumps(dataclasses.replace(spec, models=(model,))), encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "scoring"], env={**os.environ, **container_environment(job.root)}, check=True
        )


if __name__ == "__main__":
    main()
