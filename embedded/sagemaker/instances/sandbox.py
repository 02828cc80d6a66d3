"""How near to a container's a process can be started on this machine: its own /opt/ml, its own network."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.environment import ML_ROOT as ML_ROOT_VARIABLE
from embedded.sagemaker.instances.guard import ML_ROOT

# Waits for a line, so that nothing runs before it is known who has to end it; then becomes the container's process.
_SCRIPT = """\
read -r _ || exit 125
if [ "$1" != - ]; then "$2" --bind "$1" "$3" || exit 125; fi
if [ "$4" != - ]; then "$4" link set lo up 2>/dev/null; fi
shift 4
exec "$@" </dev/null
"""


@dataclasses.dataclass(frozen=True)
class Abilities:
    """What this machine permits. `own_ml_root`: mount namespaces; `own_network`: network namespaces."""

    own_ml_root: bool
    own_network: bool


@functools.cache
def probe() -> Abilities:
    """Try what the machine permits; only root on Linux has anything."""
    unshare, mount = shutil.which("unshare"), shutil.which("mount")
    if sys.platform != "linux" or os.geteuid() != 0 or unshare is None or mount is None:
        return Abilities(own_ml_root=False, own_network=False)

    def works(*command: str) -> bool:
        result = subprocess.run([unshare, *command], check=False, capture_output=True)  # noqa: S603 - fixed words
        return result.returncode == 0

    return Abilities(
        own_ml_root=works("--mount", "--propagation", "private", mount, "--bind", "/tmp", "/mnt"),  # noqa: S108
        own_network=works("--net", "true"),
    )


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """Wraps a container's command for this machine."""

    abilities: Abilities

    def ml_root_seen(self, ml_root: Path) -> Path | None:
        """Where the process must look for /opt/ml when it is not in its place, or None when it is."""
        return None if self.abilities.own_ml_root else ml_root

    def variables(self, ml_root: Path) -> dict[str, str]:
        """What the environment must say in addition."""
        moved = self.ml_root_seen(ml_root)
        return {} if moved is None else {ML_ROOT_VARIABLE: str(moved)}

    def wrap(self, argv: Sequence[str], ml_root: Path, *, isolate_network: bool) -> list[str]:
        """The command that starts `argv` after a line has come on its standard input.

        With `isolate_network` the process has loopback only, where the machine permits it.
        """
        namespaces = []
        if self.abilities.own_ml_root:
            namespaces += ["--mount", "--propagation", "private"]
        if isolate_network and self.abilities.own_network:
            namespaces += ["--net"]
        prefix = [shutil.which("unshare") or "unshare", *namespaces, "--"] if namespaces else []
        source = str(ml_root) if self.abilities.own_ml_root else "-"
        ip = (shutil.which("ip") or "-") if "--net" in namespaces else "-"
        places = [source, shutil.which("mount") or "mount", str(ML_ROOT), ip]
        return [*prefix, "/bin/sh", "-c", _SCRIPT, "sh", *places, *argv]
