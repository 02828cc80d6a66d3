"""Python code in a mount namespace of its own."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[4]


def mount_each(*folders: Path) -> tuple[str, ...]:
    """Return the words that run a command where each of some existing folders is a mount of its own."""
    mounts = "; ".join(f"mount --bind {folder} {folder}" for folder in folders)
    return ("unshare", "--mount", "sh", "-ec", f'{mounts}; exec "$@"', "sh")


def run_mounted(mounts: str, code: str, *arguments: object) -> str:
    """Run shell commands that mount, then Python code, in a new namespace; return the code's output."""
    python = ["unshare", "--mount", "sh", "-ec", f'{mounts}\nexec "$0" -c "$@"', sys.executable, code]
    path = os.pathsep.join([str(REPOSITORY / "inference_container"), str(REPOSITORY)])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [*python, *map(str, arguments)]
    ended = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()
