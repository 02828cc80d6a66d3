"""Code that tries to leave its sandbox, for models and jobs, and reports what it got as JSON."""

import contextlib
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.sandbox.isolation import Isolation, IsolationKind, find_obstacle, probe

ATTACKS = """
import ctypes, glob, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
got = []
def attempt(name, action):
    try:
        if action():
            got.append(name)
    except OSError:
        pass
def read(path):
    with open(path, "rb") as file:
        return file.read()
def write(path):
    with open(path, "w") as file:
        file.write("x")
    return True
def connect(address):
    socket.create_connection(address, timeout=2).close()
    return True
def enter_network(path):
    return libc.setns(os.open(path, os.O_RDONLY), 0) == 0 and connect(target["server"])
def mount(folder):
    return libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, None) == 0
for process in glob.glob("/proc/[0-9]*"):
    if process != f"/proc/{os.getpid()}":
        attempt("a variable of another process", lambda: target["secret"].encode() in read(process + "/environ"))
    attempt("the network of another process", lambda: enter_network(process + "/ns/net"))
attempt("a variable of the shell", lambda: target["secret"] in os.environ.values())
for path in target["secret_files"]:
    attempt(path, lambda: read(path))
for folder in target["folders"]:
    # A path below /tmp may exist in the sandbox's own /tmp, so only `left_files` can tell.
    attempt(folder, lambda: write(folder + "/left-by-an-attack") and False)
attempt("a profile", lambda: os.path.exists(os.path.expanduser("~/.aws")))
attempt("the server's port", lambda: connect(target["server"]))
attempt("the metadata of a virtual machine", lambda: connect(("169.254.169.254", 80)))
def connect_unix(path):
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect(path) is None
def send_datagram(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        return client.sendto(b"x", address)
attempt("the socket of a service", lambda: connect_unix(target["service"]))
attempt("a datagram", lambda: send_datagram(("198.51.100.1", 53)))
attempt("the terminal", lambda: os.open("/dev/tty", os.O_RDWR))
def session_keyring():
    call = {"x86_64": 250, "aarch64": 219}.get(os.uname().machine)
    return call and libc.syscall(call, 0, -3, 0) > 0
attempt("a keyring of the kernel", session_keyring)
own = os.path.expanduser("~")
attempt("its own files", lambda: write(own + "/x") and read(own + "/x") and read(sys.executable))
attempt("a mount", lambda: mount(own))
attempt("a device", lambda: os.mknod(own + "/disk", 0o60600, os.makedev(254, 0)) is None)
attempt("the disk", lambda: [name for name in os.listdir("/dev") if name.startswith(("vd", "sd", "nvme", "mem"))])
attempt("the kernel's settings", lambda: write("/proc/sys/kernel/core_pattern"))
attempt("the system's files", lambda: write("/usr/left-by-an-attack"))
attempt("a folder of services", lambda: glob.glob("/run/*") + glob.glob("/var/run/*"))
"""


@contextlib.contextmanager
def listening(path: Path) -> Iterator[Path]:
    """Listen at a Unix socket, as D-Bus and Docker do for their users."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


def isolation_of_machine(name: str) -> Isolation:
    """Return the isolation by namespaces or by Landlock, or skip the test if the machine lacks it."""
    if name == "namespaces":
        if not probe().has_namespaces:
            pytest.skip(f"this machine has no namespaces: {probe().reason}")
        return probe()
    if obstacle := "only Linux has Landlock" if sys.platform != "linux" else find_obstacle(IsolationKind.LANDLOCK):
        pytest.skip(obstacle)
    return Isolation(IsolationKind.LANDLOCK, "for a test")


def attacks(
    *, secret: str, secret_files: list[Path], folders: list[Path], port: int, service: Path, report: str
) -> str:
    """Return Python code that attacks a machine.

    Only "its own files" are expected in the list `got`.

    Args:
        secret: Value to look for in the variables of all processes.
        secret_files: Files that it tries to read.
        folders: Folders that it tries to write to; see `left_files`.
        port: Local port that it tries to connect to.
        service: Unix socket that it tries to connect to.
        report: Statements at the end, which use `got`.
    """
    target = {
        "secret": secret,
        "secret_files": [str(path) for path in secret_files],
        "folders": [str(path) for path in folders],
        "server": ("127.0.0.1", port),
        "service": str(service),
    }
    # The code must not find the secret in its own text, so it is put together at run time.
    shown = json.dumps({**target, "secret": secret[::-1]})
    return f"target = {shown}\ntarget['secret'] = target['secret'][::-1]\n{ATTACKS}\n{report}\n"


def left_files(folders: list[Path]) -> list[Path]:
    """Remove and return the files that `attacks` left in these folders."""
    left = [path for folder in folders if (path := folder / "left-by-an-attack").exists()]
    for path in left:
        path.unlink()
    return left
