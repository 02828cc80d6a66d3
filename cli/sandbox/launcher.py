"""The process that becomes a sandboxed program, or the parent of its namespaces.

It reads a plan from standard input, which `program.py` writes. It does nothing before it has the
whole plan, so a caller that ends early starts nothing.

With namespaces there are three processes. The launcher stays outside, forwards signals, and ends
with the program's exit code. The first process of the new process namespace builds the file system,
gives up its rights, and reaps orphans. The third process is the program. The namespace ends with
its first process, which ends with the launcher, so no process outlives the launcher.

It imports little of the standard library and nothing else, because it adds to the start of each
job.
"""

from __future__ import annotations

import contextlib
import ctypes
import marshal
import os
import signal
import sys

from cli.sandbox.landlock import limit_files
from cli.sandbox.system_calls import deny_system_calls

TYPE_CHECKING = False
"""Type checkers take it as true. Importing it from `typing` would take a quarter of this process's start."""
if TYPE_CHECKING:
    from typing import Any, NoReturn

SETUP_FAILED, CANNOT_EXECUTE, NOT_FOUND = 125, 126, 127
"""Exit codes before the program has started, as of `docker run`."""

_NEW_FILES, _NEW_IPC, _NEW_USERS, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_EXECUTION = 0x1, 0x2, 0x4, 0x8
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 0x20, 0x1000, 0x4000, 0x40000
# Options that a user namespace may not remove when it makes a mount read-only.
_KEPT_OPTIONS = {"nodev": 0x4, "noexec": 0x8, "noatime": 0x400, "nodiratime": 0x800, "relatime": 0x200000}
_STRICT_ATIME = 0x1000000
_DETACH = 0x2
_PARENT_DEATH_SIGNAL, _DROP_FROM_BOUNDING_SET, _NO_NEW_PRIVILEGES, _AMBIENT, _AMBIENT_CLEAR_ALL = 1, 24, 38, 47, 4
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_CAPABILITY_VERSION = 0x20080522

# Capabilities for preparing files and switching users, as root of a container has them: CHOWN,
# DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP and NET_BIND_SERVICE. Docker's default
# set also has MKNOD, NET_RAW, SYS_CHROOT, SETFCAP and AUDIT_WRITE, which no job needs.
_KEPT_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 8, 10)

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_GPU_DEVICES = ("nvidia", "dri", "kfd")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
# Files through which root controls the whole machine; Docker hides the same.
_PROTECTED = ("proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus", "proc/fs")
_HIDDEN_FILES = ("proc/kcore", "proc/keys", "proc/timer_list", "proc/sched_debug", "proc/latency_stats")
_HIDDEN_FOLDERS = (
    "proc/acpi",
    "proc/scsi",
    "sys/firmware",
    "sys/kernel/debug",
    "sys/kernel/tracing",
    "sys/kernel/security",
)
_CONTROL_GROUPS = "/new/sys/fs/cgroup"
_FORWARDED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> NoReturn:
    """Read the plan, and become the program or the parent of its namespaces."""
    try:
        plan = marshal.load(sys.stdin.buffer)  # noqa: S302 - written by our own caller
    except (EOFError, ValueError, TypeError):
        os._exit(SETUP_FAILED)
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        if plan["cores"]:
            os.sched_setaffinity(0, plan["cores"])
        if plan["isolation"] in ("root", "user"):
            _run_in_namespaces(plan)
        if sys.platform == "linux":
            _give_up_rights()
        if plan["isolation"] == "landlock":
            _leave_terminal()
            limit_files(plan["files"], own_network=plan["own_network"])
            # Landlock does not limit datagrams and the sockets of services such as D-Bus or Docker,
            # which start programs without the limits.
            deny_system_calls("all" if plan["own_network"] else "unix")
    except OSError as error:
        _fail_setup(error)
    _execute(plan)


def _leave_terminal() -> None:
    """Start a new session: a program could type commands into the terminal of its session."""
    with contextlib.suppress(PermissionError):  # it already leads a session
        os.setsid()


def _execute(plan: dict[str, Any]) -> NoReturn:
    """Become the program."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    argv = plan["argv"]
    try:
        os.chdir(plan["folder"])
    except OSError as error:
        _fail(f"{plan['folder']}: {error.strerror}", SETUP_FAILED)
    try:
        os.execvpe(argv[0], argv, plan["environment"])  # noqa: S606 - no shell on purpose
    except FileNotFoundError:
        _fail(f"{argv[0]}: not found", NOT_FOUND)
    except OSError as error:
        _fail(f"{argv[0]}: {error.strerror}", CANNOT_EXECUTE)


def _fail_setup(error: OSError) -> NoReturn:
    _fail(f"the sandbox cannot be set up: {error.filename or ''}: {error.strerror}", SETUP_FAILED)


def _fail(text: str, code: int) -> NoReturn:
    os.write(2, f"{text}\n".encode(errors="backslashreplace"))
    os._exit(code)


# ---- processes ----


def _run_in_namespaces(plan: dict[str, Any]) -> NoReturn:
    user, group = os.geteuid(), os.getegid()
    if plan["isolation"] == "user":
        _call("a user namespace", _libc.unshare(_NEW_USERS | _NEW_PROCESSES))
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {user} 1")
        _write("/proc/self/gid_map", f"0 {group} 1")
    else:
        _call("a process namespace", _libc.unshare(_NEW_PROCESSES))
    # Blocked signals wait, also for the first process, which would otherwise miss them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_FORWARDED, signal.SIGCHLD})
    watched, held = os.pipe()
    first = os.fork()
    if first:
        os.close(watched)
        _forward_signals(first)
    os.close(held)
    _end_with_parent(watched)
    try:
        _enter_namespaces(plan)
    except OSError as error:
        _fail_setup(error)
    program = os.fork()
    if program:
        _forward_signals(program)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _execute(plan)


def _end_with_parent(watched: int) -> None:
    """Have the kernel kill this process when its parent ends."""
    _call("the end with the parent", _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0))
    os.set_blocking(watched, False)
    with contextlib.suppress(BlockingIOError):
        if not os.read(watched, 1):  # the parent has ended before
            os._exit(SETUP_FAILED)


def _forward_signals(child: int) -> NoReturn:
    """Forward signals to a child and reap orphans until it ends; end with its exit code."""
    while True:
        number = signal.sigwait({*_FORWARDED, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(child, number)
            continue
        with contextlib.suppress(ChildProcessError):
            while True:
                ended, status = os.waitpid(-1, os.WNOHANG)
                if ended == child:
                    code = os.waitstatus_to_exitcode(status)
                    os._exit(code if code >= 0 else 128 - code)
                if not ended:
                    break


# ---- rights ----


def _give_up_rights() -> None:
    """Keep only the capabilities of a container's root, now and for every later program."""
    _call("no new privileges", _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _libc.prctl(_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(64):
        if capability not in _KEPT_CAPABILITIES:
            _libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)  # an unknown one has no effect
    kept = sum(1 << capability for capability in _KEPT_CAPABILITIES)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    current = (ctypes.c_uint32 * 6)()
    _call("the capabilities", _libc.capget(header, current))
    # Two halves of 32 bits, each with the effective, permitted and inheritable set.
    for half in (0, 3):
        mask = kept >> (32 * (half // 3)) & 0xFFFFFFFF
        current[half] = current[half + 1] = current[half + 1] & mask
        current[half + 2] = 0
    _call("the capabilities", _libc.capset(header, current))


# ---- namespaces ----


def _enter_namespaces(plan: dict[str, Any]) -> None:
    own_network = _NEW_NETWORK if plan["own_network"] else 0
    _call("namespaces", _libc.unshare(_NEW_FILES | _NEW_IPC | own_network))
    if own_network:
        _start_loopback()
    os.umask(0o022)
    _call("private mounts", _libc.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None))
    # The first pivot keeps all sources reachable below /old, also those in /tmp.
    _mount("tmpfs", "/tmp", "tmpfs", _NO_SETUID | _NO_DEVICES, "mode=0755")  # covered in this namespace only
    for folder in ("new", "old"):
        os.mkdir(f"/tmp/{folder}", 0o755)
    _mount("/tmp/new", "/tmp/new", None, _BIND)
    _pivot_root("/tmp", "/tmp/old")
    os.chdir("/")
    _add_files(plan["files"])
    _add_devices()
    _make_target("/new/proc", is_folder=True)
    _mount("proc", "/new/proc", "proc", _NO_SETUID | _NO_DEVICES | _NO_EXECUTION)
    _add("/old/sys", "/new/sys")
    if plan["memory_bytes"] is not None:
        _show_memory_limit(plan["memory_bytes"])
    _make_read_only([f"/new{target}" for kind, _source, target in plan["files"] if kind == "writable"])
    _protect_kernel_files()
    _call("the old file system", _libc.umount2(b"/old", _DETACH), "/old")
    os.chdir("/new")
    _pivot_root(".", ".")
    _call("the old file system", _libc.umount2(b".", _DETACH), ".")
    os.chdir("/")
    _mount(None, "/", None, _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | _NO_DEVICES)
    _give_up_rights()
    with contextlib.suppress(OSError):  # namespaces isolate without it
        deny_system_calls()


def _start_loopback() -> None:
    control = _libc.socket(2, 1, 0)
    is_up = b"lo".ljust(16, b"\0") + (0x41).to_bytes(2, sys.byteorder) + bytes(22)
    _call("the loopback interface", _libc.ioctl(control, 0x8914, is_up))
    os.close(control)


def _add_files(files: list[tuple[str, str, str]]) -> None:
    """Add files and folders in the given order, parents first: `(kind, source, target)`."""
    for kind, source, target in files:
        if kind == "link":
            if not os.path.lexists(f"/new{target}"):
                _make_parent(f"/new{target}")
                os.symlink(source, f"/new{target}")
        else:
            _add(f"/old{source}", f"/new{target}")


def _add(source: str, target: str) -> None:
    _make_target(target, is_folder=os.path.isdir(source))
    _mount(source, target, None, _BIND | _RECURSIVE)


def _make_parent(path: str) -> None:
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)


def _make_target(path: str, *, is_folder: bool) -> None:
    if os.path.lexists(path):
        return
    _make_parent(path)
    if is_folder:
        os.mkdir(path, 0o755)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _add_devices() -> None:
    """Add harmless devices and the GPUs. Root could read every disk through the others."""
    found = [name for name in _DEVICES if os.path.exists(f"/old/dev/{name}")]
    found += sorted(name for name in os.listdir("/old/dev") if name.startswith(_GPU_DEVICES))
    for name in found:
        _add(f"/old/dev/{name}", f"/new/dev/{name}")
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/new/dev/{name}")
    for name, kind, options in (
        ("shm", "tmpfs", "mode=1777"),
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
    ):
        _make_target(f"/new/dev/{name}", is_folder=True)
        _mount(
            kind, f"/new/dev/{name}", kind, _NO_SETUID | _NO_EXECUTION | (_NO_DEVICES if name == "shm" else 0), options
        )


def _show_memory_limit(limit: int) -> None:
    """Let the program find a memory limit where control groups of version 2 show theirs."""
    _mount("tmpfs", _CONTROL_GROUPS, "tmpfs", _NO_SETUID | _NO_DEVICES | _NO_EXECUTION, "mode=0755")
    os.close(os.open(f"{_CONTROL_GROUPS}/memory.max", os.O_CREAT | os.O_WRONLY, 0o644))
    _write(f"{_CONTROL_GROUPS}/memory.max", f"{limit}\n")


def _make_read_only(writable: list[str]) -> None:
    """Make all mounts read-only except `writable`, /dev/shm, /dev/pts and /proc."""
    kept = (*writable, "/new/dev/shm", "/new/dev/pts", "/new/proc")
    with open("/old/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = [line.split(" ") for line in file]
    for fields in mounts:
        path = _unescape(fields[4])
        if path.startswith(f"{_CONTROL_GROUPS}/") and not os.path.exists(path):
            continue  # covered by a memory limit
        if not path.startswith("/new/") or any(path == place or path.startswith(f"{place}/") for place in kept):
            continue
        options = fields[5].split(",")
        flags = _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID
        flags |= sum(flag for name, flag in _KEPT_OPTIONS.items() if name in options)
        if not {"noatime", "relatime"} & set(options):
            flags |= _STRICT_ATIME
        if not path.startswith("/new/dev/"):
            flags |= _NO_DEVICES
        _mount(None, path, None, flags)


def _unescape(path: str) -> str:
    for character in " \t\n\\":
        path = path.replace(f"\\{ord(character):03o}", character)
    return path


def _protect_kernel_files() -> None:
    for name in _PROTECTED:
        if os.path.exists(f"/new/{name}"):
            _mount(f"/new/{name}", f"/new/{name}", None, _BIND)
            _mount(None, f"/new/{name}", None, _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | _NO_DEVICES | _NO_EXECUTION)
    for name in _HIDDEN_FILES:
        if os.path.exists(f"/new/{name}"):
            _mount("/old/dev/null", f"/new/{name}", None, _BIND)
    for name in _HIDDEN_FOLDERS:
        if os.path.isdir(f"/new/{name}"):
            _mount("tmpfs", f"/new/{name}", "tmpfs", _READ_ONLY | _NO_SETUID | _NO_DEVICES | _NO_EXECUTION)


# ---- system calls ----


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    values = [None if value is None else os.fsencode(value) for value in (source, target, kind, options)]
    result = _libc.mount(values[0], values[1], values[2], ctypes.c_ulong(flags), values[3])
    _call("mount", result, f"{source or ''} on {target}")


def _pivot_root(new: str, old: str) -> None:
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, f"pivot_root on {os.uname().machine} is not known")
    _call("pivot_root", _libc.syscall(number, os.fsencode(new), os.fsencode(old)), new)


def _call(what: str, result: int, where: str = "") -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"{what} {where}".strip())


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
