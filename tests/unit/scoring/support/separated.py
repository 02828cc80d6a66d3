"""Commands in a mount namespace where an unprivileged user can reach this Python, as in the image."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPEN = """\
set -e
hidden=$1 closed=$2
shift 2
if [ -n "$closed" ]; then
    mount --bind "$PYTHON_PREFIX" "$hidden"
    mount -t tmpfs -o mode=755 none "$closed"
    mkdir -p "$PYTHON_PREFIX"
    mount --bind "$hidden" "$PYTHON_PREFIX"
fi
exec "$@"
"""


def why_not_separable() -> str:
    """Return why this machine cannot run the tests of separation; empty if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "separate users need root on Linux"
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        return "this machine permits no mount namespaces"
    return ""


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a new folder that all users can enter; those of pytest are closed to them."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def command_prefix(folder: Path) -> tuple[str, ...]:
    """Return the words that run a command where all users can reach this Python's libraries.

    `folder` is an existing folder that the namespace may use.
    """
    hidden = folder / "python"
    hidden.mkdir()
    return (
        *("unshare", "--mount", "--propagation", "private", "env", f"PYTHON_PREFIX={sys.base_prefix}"),
        *("sh", "-c", _OPEN, "sh", str(hidden), _closed_folder()),
    )


@functools.cache
def _closed_folder() -> str:
    """Return the first folder above this Python that others cannot enter; empty if there is none."""
    for folder in reversed(Path(sys.base_prefix).parents):
        if not folder.stat().st_mode & 0o001:
            return str(folder)
    return ""
