"""An embedded AWS that outlives the process that starts it, found by its folder."""

import fcntl
import json
import os
import shlex
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.control_characters import replace_control_characters
from embedded.sagemaker.instances.guard import delete_folder, kill_escaped_processes
from embedded.server.endpoint import Endpoint
from embedded.server.inventory import Inventory, format_time, write_private
from embedded.server.launch import PROJECT, STOP_SECONDS, EmbeddedAwsError, launch
from embedded.server.persistence import (
    PERSISTED_FILE,
    PERSISTED_NAMES,
    PROBLEM_FILE,
    SNAPSHOT_FILE,
    PersistedData,
    PersistedDataError,
    versions,
)
from embedded.server.process import LOCK_FILE

STATE_FILE = "embedded-aws.json"


def start_detached(
    state_dir: Path, *, port: int = 0, time_scale: float = 1.0, enforce_iam: bool = True, persist: bool = False
) -> Endpoint:
    """Start an embedded AWS that outlives this process.

    `detached_endpoint` and `stop_detached` find it through `state_dir`. In a folder with persisted
    data, it continues with them, at the same address and with the same key.

    Args:
        persist: Keep the data in the folder from now on.

    Raises:
        EmbeddedAwsError: It did not start, or one is already running.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(state_dir)
    with _starting(state_dir):
        running = detached_endpoint(state_dir)
        if running is not None:
            raise EmbeddedAwsError(f"an embedded AWS already runs at {running.url}: stop it first (fleetscore down)")
        root = detached_root(state_dir)
        kept = _persisted_data(root)
        _remove_leftovers(root, keep=kept is not None)
        process, endpoint = launch(
            root,
            port=port if kept is None else kept.port,
            secret_access_key=None if kept is None else kept.secret_access_key,
            time_scale=time_scale,
            enforce_iam=enforce_iam,
            parent_pipe=-1,
            remove_root=False,
            persist=persist or kept is not None,
        )
        if persist and kept is None:
            number = int(endpoint.url.rpartition(":")[2])
            PersistedData(versions(), number, endpoint.secret_access_key).write(root)
        state = {"pid": process.pid, "project": str(PROJECT), "endpoint": json.loads(endpoint.to_json())}
        write_private(state_dir / STATE_FILE, json.dumps(state, indent=2))
    return endpoint


def has_persisted_data(state_dir: Path) -> bool:
    """Return whether the folder has data that the next start continues with."""
    return (detached_root(state_dir) / PERSISTED_FILE).exists()


def persistence_problem(state_dir: Path) -> str:
    """Return why the last changes were not persisted; empty without a problem."""
    try:
        reason = (detached_root(state_dir) / PROBLEM_FILE).read_text(encoding="utf-8")
    except OSError:
        return ""
    return f"The last changes in {state_dir.absolute()} could not be saved: {reason}."


def _persisted_data(root: Path) -> PersistedData | None:
    try:
        kept = PersistedData.read(root)
        if kept is not None:
            kept.check(root)
    except PersistedDataError as failure:
        raise EmbeddedAwsError(str(failure)) from failure
    return kept


@contextmanager
def _starting(state_dir: Path) -> Iterator[None]:
    """Prevent other processes from starting an embedded AWS in the same folder meanwhile.

    Raises:
        EmbeddedAwsError: Another process is starting one.
    """
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as failure:
        raise EmbeddedAwsError(
            f"another process is just starting an embedded AWS in {state_dir.absolute()}: wait until its `fleetscore "
            "up` has ended, and run the command again"
        ) from failure
    finally:
        os.close(folder)


def running_text(state_dir: Path) -> str:
    """Return what the running embedded AWS of a folder holds, for a message."""
    found = Inventory.read(detached_root(state_dir))
    place = f"An embedded AWS already runs in {state_dir.absolute()}"
    if found is None:
        return f"{place}."
    return f"{place} since {format_time(found.started_at)} (process {found.process_id}): {found.summary()}."


def leftover_text(state_dir: Path) -> str:
    """Return what an embedded AWS lost that ended without `fleetscore down`; empty if none did.

    Raises:
        EmbeddedAwsError: Another user could have written the folder's files.
    """
    _check_folder(state_dir)
    root = detached_root(state_dir)
    if detached_endpoint(state_dir) is not None or (not (state_dir / STATE_FILE).exists() and not root.exists()):
        return ""
    if has_persisted_data(state_dir) and not (state_dir / STATE_FILE).exists():
        return ""  # it has ended with `fleetscore down`
    found, place = Inventory.read(root), f"The embedded AWS in {state_dir.absolute()}"
    if found is None:
        return f"{place} was ended while it started, before it held anything. Its files are removed."
    how = "a restart of the machine" if found.is_from_another_boot else "a signal or a crash"
    text = (
        f"{place} (process {found.process_id}) did not end with `fleetscore down`, but with {how} at about "
        f"{format_time(found.written_at)}. "
    )
    unfinished = found.unfinished()
    if has_persisted_data(state_dir):
        file = root / SNAPSHOT_FILE
        saved = f"what it held at {format_time(file.stat().st_mtime)}" if file.exists() else "nothing yet"
        text += f"Saved is {saved} (--persist); later changes are lost. At the end, it held {found.summary()}."
        return f"{text} Running then, and failed now: {unfinished}." if unfinished else text
    text += f"Lost with it: {found.summary()}."
    return f"{text} Running then, and ended without a result: {unfinished}." if unfinished else text


def _remove_leftovers(root: Path, *, keep: bool = False) -> None:
    """End the processes and delete the files of an embedded AWS that no longer runs properly.

    Args:
        keep: Leave the files that a restart continues with.
    """
    if _is_locked(root / LOCK_FILE):
        # Its `up` was killed before it wrote the state file, so no shell has its variables.
        _end_process(int((root / LOCK_FILE).read_text() or 0), root)
    if root.exists():
        kill_escaped_processes(root)
        for left in [each for each in root.iterdir() if each.name not in PERSISTED_NAMES] if keep else [root]:
            if left.is_dir():
                delete_folder(left)
            else:
                left.unlink(missing_ok=True)
        if keep:
            delete_folder(root / "sagemaker" / "jobs")


def _end_process(pid: int, root: Path) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _is_locked(root / LOCK_FILE):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            break
        time.sleep(0.05)


def detached_root(state_dir: Path) -> Path:
    """Return the root folder of a detached embedded AWS."""
    return state_dir.resolve() / "aws"


def running_root(state_dir: Path) -> Path:
    """Return the root folder of a running detached embedded AWS.

    Raises:
        EmbeddedAwsError: None runs, or its state cannot be trusted.
    """
    if detached_endpoint(state_dir) is None:
        raise EmbeddedAwsError(
            f"--state-dir {state_dir}: no embedded AWS runs with this folder. Start one with `fleetscore up`, or work "
            "in the folder where you started it."
        )
    return detached_root(state_dir)


def detached_endpoint(state_dir: Path) -> Endpoint | None:
    """Return the endpoint of a running detached embedded AWS; None if there is none.

    Raises:
        EmbeddedAwsError: Another user could have written the folder's files, or they are damaged.
    """
    _check_folder(state_dir)
    if not (state_dir / STATE_FILE).exists() or not _is_locked(detached_root(state_dir) / LOCK_FILE):
        return None
    return _read_state(state_dir)[1]


def check_project(state_dir: Path) -> None:
    """Check that this checkout started the running embedded AWS.

    The server of another checkout has other code and templates.


    Raises:
        EmbeddedAwsError: Another checkout started it; the message names the checkout.
    """
    project = json.loads((state_dir / STATE_FILE).read_text()).get("project", str(PROJECT))
    if project != str(PROJECT):
        raise EmbeddedAwsError(
            f"the embedded AWS in {state_dir.absolute()} was started by the checkout in {project}, and this is the one "
            f"in {PROJECT}: use that one, end it (fleetscore down), or use another --state-dir"
        )


def _read_state(state_dir: Path) -> tuple[int, Endpoint]:
    """Return the process id and the endpoint of a running embedded AWS.

    Raises:
        EmbeddedAwsError: The file with them is damaged.
    """
    state_file = state_dir / STATE_FILE
    try:
        state = json.loads(state_file.read_text())
        return int(state["pid"]), Endpoint.from_json(json.dumps(state["endpoint"]))
    except (ValueError, KeyError, TypeError) as failure:
        lock = detached_root(state_dir) / LOCK_FILE
        raise EmbeddedAwsError(
            f"the file {state_file.absolute()} is damaged: end the process that has {lock} open, then remove the "
            f"folder {state_dir.absolute()}"
        ) from failure


def _check_folder(state_dir: Path) -> None:
    """Check that only this user can write the folder's files.

    The files name an address, keys and a process to end.


    Raises:
        EmbeddedAwsError: Others can write it; the message names the folder.
    """
    shown = str(state_dir.absolute())
    if shown != replace_control_characters(shown) or "\n" in shown or "\t" in shown:
        raise EmbeddedAwsError(f"the folder {shown!r} has control characters in its path: use another --state-dir")
    try:
        found = state_dir.lstat()
    except FileNotFoundError:
        return
    remedy = "remove it, or use another --state-dir"
    if not stat.S_ISDIR(found.st_mode):
        raise EmbeddedAwsError(f"{shown} is not a folder (a symbolic link is not followed): {remedy}")
    if found.st_uid != os.geteuid():
        raise EmbeddedAwsError(
            f"the folder {shown} belongs to another user, who could have written its files: {remedy}"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EmbeddedAwsError(
            f"other users can write the folder {shown}: run `chmod go-w {shlex.quote(shown)}` if only you did, or "
            "use another --state-dir"
        )


def stop_detached(state_dir: Path, *, delete_data: bool = False) -> bool:
    """End a detached embedded AWS and delete its files. Return False if none was running.

    Args:
        delete_data: Delete also data that it keeps.

    Raises:
        EmbeddedAwsError: Another user could have written the folder's files, or they are damaged.
    """
    _check_folder(state_dir)
    root = detached_root(state_dir)
    state_file = state_dir / STATE_FILE
    running = detached_endpoint(state_dir) is not None
    if running:
        _end_process(_read_state(state_dir)[0], root)
    _remove_leftovers(root, keep=has_persisted_data(state_dir) and not delete_data)
    state_file.unlink(missing_ok=True)
    return running


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
