"""The container's code as a process on this machine, with files only and without AWS, as in a job."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cli.failures import CommandError
from contract.environment import ML_ROOT

_PACKAGES = ("joblib", "numpy", "pandas", "pyarrow", "sklearn", "xgboost")


def require_container_code() -> None:
    """Check that the container's packages are installed.

    Raises:
        CommandError: with the names of the missing packages.
    """
    missing = [name for name in ("scoring", *_PACKAGES) if importlib.util.find_spec(name) is None]
    if missing:
        raise CommandError(
            f"This command runs the container's code, but this installation lacks {', '.join(missing)}. "
            "Install the container's packages with `pip install 'fleetscore[scoring]'`."
        )


def run_container_code(module: str, arguments: Sequence[str] = (), *, root: Path) -> "subprocess.CompletedProcess[str]":
    """Run a module of the container's code with `root` as /opt/ml and working directory; return the ended process.

    The process gets no AWS credentials: a job has none, and the model's code must not see any.
    """
    require_container_code()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {ML_ROOT: str(root), "PYTHONPATH": os.pathsep.join(_program_folders())}
    return subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", module, *arguments],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def _program_folders() -> list[str]:
    """Return the folders that hold `scoring` and `contract`, without importing `scoring`."""
    folders: list[str] = []
    for name in ("scoring", "contract"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folders.append(str(Path(spec.origin).resolve().parent.parent))
    return list(dict.fromkeys(folders))
