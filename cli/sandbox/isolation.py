"""The kinds of isolation that this machine permits."""

import dataclasses
import functools
import sys
from enum import StrEnum

from cli.sandbox.program import SandboxedProgram


class IsolationKind(StrEnum):
    """Namespaces made by root, namespaces in a user namespace, Landlock, or none."""

    ROOT = "root"
    USER = "user"
    LANDLOCK = "landlock"
    NONE = "none"


@dataclasses.dataclass(frozen=True)
class Isolation:
    """The isolation of programs. `reason` says why there is nothing better."""

    kind: IsolationKind
    reason: str = ""

    @property
    def has_namespaces(self) -> bool:
        """Whether programs have their own files, processes and network."""
        return self.kind in (IsolationKind.ROOT, IsolationKind.USER)

    @property
    def hides_files(self) -> bool:
        """Whether programs can use only the files that they need."""
        return self.kind is not IsolationKind.NONE

    @property
    def summary(self) -> str:
        """Describe the isolation of jobs for the user who starts them."""
        if self.has_namespaces:
            return "Jobs run isolated: each sees only its own files and processes."
        if self.hides_files:
            return (
                "Jobs run isolated by Landlock: each can use only its own files, and has no Unix sockets, but it "
                f"has no /opt/ml and process ids of its own ({self.reason})."
            )
        return (
            f"Jobs run with your rights, because this machine cannot isolate them ({self.reason}): "
            "their code can read your files. Do not run code that you do not trust."
        )


@functools.cache
def probe() -> Isolation:
    """Return the best isolation that this machine permits. Each kind is tried once per process."""
    if sys.platform != "linux":
        return Isolation(IsolationKind.NONE, "only Linux has namespaces")
    reasons: list[str] = []
    for kind in (IsolationKind.ROOT, IsolationKind.USER, IsolationKind.LANDLOCK):
        obstacle = find_obstacle(kind)
        if not obstacle:
            return Isolation(kind, "; ".join(reasons))
        # Without root's rights, the first kind never works, and users cannot change that.
        if kind is not IsolationKind.ROOT:
            reasons.append(obstacle)
    return Isolation(IsolationKind.NONE, "; ".join(reasons))


def find_obstacle(kind: IsolationKind) -> str:
    """Return why a program cannot run with an isolation on this Linux; empty if it can."""
    trial = SandboxedProgram(argv=["/bin/sh", "-c", "exit 0"], own_network=True)
    ended = trial.run(kind)
    if ended.returncode == 0:
        return ""
    return ended.stderr.decode(errors="replace").strip() or f"exit code {ended.returncode}"
