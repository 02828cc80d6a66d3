"""Inspection of the container: what `fleetscore doctor --job` compares with the assumptions of the code.

It prints one JSON object to the job's log, writes it to the outputs, and names itself in the exit message. It reads
names, sizes, owners and modes of files, and never contents besides SageMaker's own configuration.
"""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_ML_ROOT = "FLEETSCORE_ML_ROOT"
_WORKER_USER = 65530
"""The user who runs model code; see docs/reference/containers/scoring-container.md."""
_MOST_FILES = 500
_REPORT = "report.json"
_MESSAGE = "inspected"
_CONFIGURATION = (
    "config/resourceconfig.json",
    "config/processingjobconfig.json",
    "input/config/resourceconfig.json",
    "input/config/inputdataconfig.json",
)
_SHOWN_DEVICES = ("nvidia*", "neuron*", "dri/*")


def main() -> None:
    root = Path(os.environ.get(_ML_ROOT, "/opt/ml"))
    is_training = (root / "input" / "config").is_dir()
    if is_training:
        outputs = [path for path in (root / "model", root / "output" / "data", root / "checkpoints") if path.is_dir()]
    else:
        outputs = sorted(path for path in (root / "processing" / "output").glob("*") if path.is_dir())
    text = json.dumps(inspect(root, outputs))
    print(text, flush=True)
    # A training job's folder `model` becomes an archive in S3; the other outputs of a training job stay empty.
    for output in outputs[:1] if is_training else outputs:
        (output / _REPORT).write_text(text)
    message = root / "output" / "message"
    message.parent.mkdir(parents=True, exist_ok=True)
    message.write_text(_MESSAGE)


def inspect(root: Path, outputs: list[Path]) -> dict[str, Any]:
    """Return what the container sees. A part that cannot be read has the reason in its place."""
    parts: dict[str, Callable[[], Any]] = {
        "files": lambda: list(_files(root)),
        "mounts": lambda: list(_mounts(root)),
        "space": lambda: {str(place): _space(place) for place in (Path("/"), Path("/tmp"), Path("/dev/shm"), root)},  # noqa: S108
        "outputs": lambda: {output.name: _output(output) for output in outputs},
        "user": lambda: {"uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups()},
        "status": _process_status,
        "other_user": _start_as_other_user,
        "devices": lambda: [_entry(Path("/dev"), path) for path in _devices()],
        "network": lambda: sorted(name for _, name in socket.if_nameindex()),
        "processors": os.cpu_count,
        "kernel": lambda: os.uname().release,
        "python": lambda: sys.version,
        "variables": lambda: sorted(os.environ),
        "configuration": lambda: {name: _configuration(root, name) for name in _CONFIGURATION},
    }
    return {name: _or_reason(read) for name, read in parts.items()}


def _or_reason(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"


def _files(root: Path) -> Iterator[dict[str, Any]]:
    """Yield every folder and file below the root, up to a limit."""
    found = 0
    for folder, _, names in os.walk(root):
        for path in (Path(folder), *(Path(folder, name) for name in sorted(names))):
            if (found := found + 1) > _MOST_FILES:
                return
            yield _entry(root, path)


def _entry(root: Path, path: Path) -> dict[str, Any]:
    status = path.lstat()
    return {
        "path": path.relative_to(root).as_posix(),
        "mode": oct(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "size": status.st_size,
        "device": status.st_dev,
        "is_folder": path.is_dir() and not path.is_symlink(),
    }


def _mounts(root: Path) -> Iterator[dict[str, str]]:
    """Yield the mounts of the whole container's disks, as /proc/self/mountinfo has them."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point, options = before.split()[4:6]
        kind, source = after.split()[:2]
        if point in ("/", "/tmp", "/dev/shm") or point == str(root) or point.startswith(f"{root}/"):  # noqa: S108
            yield {"point": point, "type": kind, "source": source, "options": options}


def _space(place: Path) -> dict[str, int] | None:
    if not place.exists():
        return None
    usage = shutil.disk_usage(place)
    return {"total": usage.total, "free": usage.free}


def _output(folder: Path) -> dict[str, Any]:
    """Try what the code does to put a file into an output folder complete or not at all."""
    beside = folder.parent / ".inspection"
    return {
        "device": folder.stat().st_dev,
        "device_of_parent": folder.parent.stat().st_dev,
        "space": _space(folder),
        "linked": _or_reason(lambda: _link(folder)),
        "renamed": _or_reason(lambda: _rename(beside, folder)),
    }


def _link(folder: Path) -> bool:
    """Create a file without a name in the folder, and give it a name."""
    target = folder / ".inspection"
    file = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    descriptors = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        # With a folder, Python calls linkat, which follows the symbolic link to the file.
        os.link(str(file), target, src_dir_fd=descriptors, follow_symlinks=True)
    finally:
        os.close(descriptors)
        os.close(file)
    target.unlink()
    return True


def _rename(beside: Path, folder: Path) -> bool:
    """Rename a file from next to the folder into it; False when they are on different mounts."""
    beside.write_bytes(b"")
    try:
        beside.rename(folder / ".inspection")
    except OSError as error:
        beside.unlink()
        if error.errno == errno.EXDEV:
            return False
        raise
    (folder / ".inspection").unlink()
    return True


def _process_status() -> dict[str, str]:
    wanted = ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")
    pairs = (line.partition(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs if name in wanted}


def _start_as_other_user() -> str:
    """Start a process as the user who runs model code, and return that process's user."""
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getuid())"],
        user=_WORKER_USER,
        group=_WORKER_USER,
        extra_groups=(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def _devices() -> Iterator[Path]:
    for pattern in _SHOWN_DEVICES:
        yield from sorted(Path("/dev").glob(pattern))


def _configuration(root: Path, name: str) -> Any:
    path = root / name
    return json.loads(path.read_text()) if path.exists() else None


if __name__ == "__main__":
    main()
