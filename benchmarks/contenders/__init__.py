"""The contenders. Each is a program: `python -m benchmarks.contenders.<name> ROOT OUTPUT`.

It scores every object below the job's data folder with every model of the job. It writes Parquet
below `OUTPUT/model-<nn>/`, with all columns of the input and `prediction`.
"""

import json
import os
import sys
from pathlib import Path

from contract.container_paths import ContainerPaths

FLEET_OUTPUT = "fleet"
"""Id of a fleet, and name of the folder with its predictions, which are one table.

Contenders do not import the workloads, whose libraries would count as their time.
"""


def arguments() -> tuple[Path, Path]:
    """Return ROOT and OUTPUT of the command line."""
    return Path(sys.argv[1]), Path(sys.argv[2])


def objects_of(root: Path) -> list[str]:
    return sorted(str(path) for path in ContainerPaths(root).data.iterdir() if path.is_file())


def features_of(root: Path) -> list[str]:
    spec = json.loads(ContainerPaths(root).spec.read_text(encoding="utf-8"))
    return [feature["name"] for feature in spec["models"][0]["features"]]


def model_folders(root: Path) -> list[Path]:
    return sorted((root / "trained").iterdir())


def cores() -> int:
    return len(os.sched_getaffinity(0))
