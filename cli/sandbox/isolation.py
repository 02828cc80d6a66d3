"""How much a program can be isolated on this machine."""

import dataclasses
import functools
import subprocess
import sys
from enum import StrEnum

from cli.sandbox.program import SandboxedProgram


class IsolationKind(StrEnum):
    """The rights that make namespaces: the machine's root, those of a user namespace, or none."""

    ROOT = "root"
    USER = "user"
    NONE = "none"


@dataclasses.dataclass(frozen=True)
class Isolation:
    """The isolation of programs. `reason` says why there are no namespaces."""

    kind: IsolationKind
    reason: str = ""

    @property
    def has_namespaces(self) -> bool:
        """Whether programs have their own files, processes and network."""
        return self.kind is not IsolationKind.NONE

    @property
    def summary(self) -> str:
        """Describe the isolation of jobs for the user who starts them."""
        if self.has_namespaces:
            return "Jobs run isolated: each sees only its own files and processes."
        return (
            f"Jobs run with your rights, because this machine cannot isolate them ({self.reason}): "
            "their code can read your files. Do not run code that you do not trust."
        )


@functools.cache
def probe() -> Isolation:
    """Return the best isolation that this machine permits. It is tried out once."""
    if sys.platform != "linux":
        return Isolation(IsolationKind.NONE, "only Linux has namespaces")
    reasons = []
    for kind in (IsolationKind.ROOT, IsolationKind.USER):
        trial = SandboxedProgram(argv=["/bin/sh", "-c", "exit 0"], own_network=True)
        ended = subprocess.run(  # noqa: S603 - our own interpreter and launcher
            trial.launcher(),
            input=trial.plan(kind),
            env=trial.launcher_environment(),
            cwd="/",
            capture_output=True,
            check=False,
        )
        if ended.returncode == 0:
            return Isolation(kind)
        reasons.append(ended.stderr.decode(errors="replace").strip() or f"exit code {ended.returncode}")
    return Isolation(IsolationKind.NONE, reasons[-1])
