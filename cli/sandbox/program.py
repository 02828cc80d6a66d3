"""A program that runs in a sandbox, and its start."""

import dataclasses
import marshal
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.sandbox.visible_files import FileEntry, file_list, machine_files

# Imported instead of run as a file, because Python only caches the bytecode of modules.
_START = "import sys; sys.path.append(sys.argv[1]); from cli.sandbox import launcher; launcher.main()"


@dataclasses.dataclass(frozen=True)
class SandboxedProgram:
    """A command with everything that it sees.

    `run` starts it and waits for its end. To only start it, run `launcher()` with
    `launcher_environment()` and write `plan()` to its standard input. The program itself gets an
    empty standard input.

    Args:
        environment: All environment variables of the program.
        folder: Working directory.
        interpreter: Python whose program, standard library and packages the program sees.
        readable: Further files and folders that the program sees, at the same paths.
        writable: Folders that the program may change, each with its path in the sandbox.
        own_network: Whether the program has only a loopback interface of its own.
        cores: Numbers of the processor cores that the program may use; empty means all. Only on Linux.
        memory_bytes: Memory that the program finds as the limit of its control group. Nothing enforces
            it. Only with namespaces; None means what the machine shows.
    """

    argv: Sequence[str]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    folder: str = "/"
    interpreter: str = sys.executable
    readable: Sequence[Path] = ()
    writable: Sequence[tuple[Path, str]] = ()
    own_network: bool = False
    cores: Sequence[int] = ()
    memory_bytes: int | None = None

    def run(self, isolation: str) -> "subprocess.CompletedProcess[bytes]":
        """Run the program to its end, and return its exit code and output."""
        return subprocess.run(  # noqa: S603 - our own interpreter and launcher
            self.launcher(),
            input=self.plan(isolation),
            env=self.launcher_environment(),
            cwd="/",
            capture_output=True,
            check=False,
        )

    def launcher(self) -> list[str]:
        """Return the command that starts the program."""
        return [sys.executable, "-I", "-S", "-c", _START, str(Path(__file__).resolve().parents[2])]

    def launcher_environment(self) -> dict[str, str]:
        """Return the environment of the launcher itself, which runs outside of the sandbox."""
        kept = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
        return {name: os.environ[name] for name in kept if name in os.environ}

    def plan(self, isolation: str) -> bytes:
        """Return what the launcher reads.

        Without isolation, only argv, environment and folder have an effect.
        """
        files: list[FileEntry] = []
        if isolation != "none":
            files = file_list(self.readable, self.writable, machine_files(self.interpreter))
        return marshal.dumps(
            {
                "isolation": str(isolation),
                "argv": list(self.argv),
                "environment": dict(self.environment),
                "folder": self.folder,
                "own_network": self.own_network,
                "cores": list(self.cores),
                "memory_bytes": self.memory_bytes,
                "files": files,
            }
        )
