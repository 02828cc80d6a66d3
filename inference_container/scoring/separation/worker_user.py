"""The unprivileged user that runs model code, and whether this machine permits to use it."""

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import contract
import scoring
from scoring.errors import one_line
from scoring.separation.file_modes import close_to_others

_WORKER_ID = 65_530
"""User and group id of model code. The user needs no entry in /etc/passwd, and owns no file of the image."""
_CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
}
"""Numbers of the Linux capabilities that separation needs."""
_LIBRARIES = ("numpy", "pyarrow")
"""Libraries of every worker; pip may have installed them so that only root can read them."""
_KEPT_AWS_VARIABLES = frozenset(
    {
        "AWS_CONFIG_FILE",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_REGION",
        "AWS_SHARED_CREDENTIALS_FILE",
    }
)
"""AWS variables without credentials; model code gets no others."""


class ProcessOptions(TypedDict, total=False):
    """Keyword arguments of `subprocess.Popen` for a process of model code."""

    user: int
    group: int
    extra_groups: list[int]
    umask: int
    cwd: Path
    env: Mapping[str, str]


@dataclass(frozen=True)
class WorkerUser:
    """A user without privileges, in no other group."""

    uid: int = _WORKER_ID
    gid: int = _WORKER_ID


def make_folder(folder: Path, user: WorkerUser | None) -> None:
    """Create a folder that model code may write to, as this user or without a user of its own."""
    folder.mkdir()
    if user is not None:
        folder.chmod(0o700)
        os.chown(folder, user.uid, user.gid)


def process_options(user: WorkerUser | None, folder: Path, environment: Mapping[str, str]) -> ProcessOptions:
    """Return how to start a process of model code, whose own folder is `folder`.

    Without a user the process gets this process's user, working directory and variables, except
    that its temporary files are in the folder.
    """
    variables = {
        name: value for name, value in environment.items() if not name.startswith("AWS_") or name in _KEPT_AWS_VARIABLES
    }
    own = str(folder)
    variables |= dict.fromkeys(("TMPDIR", "TMP", "TEMP"), own)
    if user is None:
        return {"env": variables}
    modules = [str(path) for path in _code_folders()]
    variables = {name: value for name, value in variables.items() if not name.startswith("XDG_")} | {
        "HOME": own,
        "USER": "worker",
        "LOGNAME": "worker",
        "PYTHONPATH": os.pathsep.join([*modules, *filter(None, [variables.get("PYTHONPATH")])]),
    }
    return {
        "env": variables,
        "cwd": folder,
        "user": user.uid,
        "group": user.gid,
        "extra_groups": [],
        "umask": 0o022,
    }


def find_worker_user(root: Path, unfinished: Path) -> tuple[WorkerUser | None, str]:
    """Return the user for model code, or None with the reason why it must run as this process's user.

    Before that, close all files below `root` to the user, except those below `unfinished`, an
    existing folder of this process: the user may read and not change them.
    """
    user = WorkerUser()
    if reason := _missing_permission(user) or _closed_to(user, root, unfinished):
        return None, reason
    # Folders that are created from now on can be entered by the user.
    os.umask(0o022)
    try:
        close_to_others(root, user.uid, skipped=unfinished)
    except OSError as error:
        return None, f"the modes of the files below {root} cannot be set ({one_line(error)})"
    return user, ""


def _missing_permission(user: WorkerUser) -> str:
    """Return why this process cannot start processes of another user; empty if it can."""
    if sys.platform != "linux":
        return "separate users need Linux"
    if os.geteuid() != 0:
        return f"the container runs as user {os.geteuid()} and not as root, which alone can start processes of others"
    status = dict(line.split(":", 1) for line in _read("/proc/self/status").splitlines() if ":" in line)
    effective = int(status.get("CapEff", "0").strip() or "0", 16)
    missing = [name for name, number in _CAPABILITIES.items() if not effective >> number & 1]
    if missing:
        return f"the container lacks {', '.join(missing)}"
    for name, number in (("uid_map", user.uid), ("gid_map", user.gid)):
        ranges = [[int(word) for word in line.split()] for line in _read(f"/proc/self/{name}").splitlines()]
        if not any(first <= number < first + count for first, _, count in ranges):
            return f"id {number} does not exist in the container's user namespace"
    return ""


def _closed_to(user: WorkerUser, root: Path, unfinished: Path) -> str:
    """Return which file or folder outside of `root` the user needs and cannot reach; empty if none.

    This compares mode bits only, so no process has to be started.
    """
    known: dict[Path, str] = {}
    entered = (root.parent, *(() if unfinished.is_relative_to(root) else (unfinished.parent,)))
    for path in (*_needed(), *entered):
        for form in dict.fromkeys((path.absolute(), path.resolve())):
            for step in (*reversed(form.parents), form):
                if step not in known:
                    known[step] = _closed(user, step, enter_only=step != form or path in entered)
                if known[step]:
                    return f"{known[step]}, which {path} needs"
    return ""


def _closed(user: WorkerUser, path: Path, *, enter_only: bool) -> str:
    try:
        found = path.stat()
    except OSError as error:
        return f"{path} cannot be reached ({one_line(error)})"
    shift = 6 if found.st_uid == user.uid else 3 if found.st_gid == user.gid else 0
    granted = found.st_mode >> shift & 0o7
    if stat.S_ISDIR(found.st_mode):
        wanted = 0o1 if enter_only else 0o5
        return "" if granted & wanted == wanted else f"other users cannot {'enter' if enter_only else 'list'} {path}"
    return "" if granted & 0o4 else f"other users cannot read {path}"


def _needed() -> Iterable[Path]:
    """Yield what a Python process with the container's code reads: interpreter, libraries, code."""
    yield Path(sys.executable)
    yield from (Path(prefix) for prefix in (sys.prefix, sys.base_prefix))
    for folder in _code_folders():
        yield from (folder / name for name in ("contract", "scoring", "training") if (folder / name).is_dir())
    for entry in dict.fromkeys(sys.path[1:]):
        folder = Path(entry)
        if folder.is_dir():
            yield folder
            yield from (folder / name for name in _LIBRARIES if (folder / name).is_dir())


def _code_folders() -> list[Path]:
    return list(dict.fromkeys(Path(package.__path__[0]).resolve().parent for package in (scoring, contract)))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
