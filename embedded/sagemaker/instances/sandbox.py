"""Isolation of an instance's processes as far as this machine permits: own /opt/ml, own network."""

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

# Wait for a line, so that nothing runs before the guard knows the process group; then become the
# container's process.
_SCRIPT = """\
read -r _ || exit 125
if [ "$1" != - ]; then "$2" --bind "$1" "$3" || exit 125; fi
if [ "$4" != - ]; then "$4" link set lo up 2>/dev/null; fi
shift 4
exec "$@" </dev/null
"""


@dataclasses.dataclass(frozen=True)
class Abilities:
    """What this machine permits: mount namespaces (`own_ml_root`) and network namespaces
    (`own_network`).
    """

    own_ml_root: bool
    own_network: bool


@functools.cache
def probe() -> Abilities:
    """Return what the machine permits. Namespaces need root on Linux."""
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
    """Adds the isolation that this machine permits to a container's command."""

    abilities: Abilities

    def visible_ml_root(self, ml_root: Path) -> Path | None:
        """Return the folder that the process uses as /opt/ml; None means /opt/ml itself."""
        return None if self.abilities.own_ml_root else ml_root

    def variables(self, ml_root: Path) -> dict[str, str]:
        """Return the environment variables that tell the process where its /opt/ml is."""
        moved = self.visible_ml_root(ml_root)
        return {} if moved is None else {ML_ROOT_VARIABLE: str(moved)}

    def wrap(self, argv: Sequence[str], ml_root: Path, *, isolate_network: bool) -> list[str]:
        """Return the command that runs `argv` once it has read a line from standard input.

        With `isolate_network`, the process has loopback only, if the machine permits it.
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
