"""Files of this machine that a sandboxed program sees: the system's and its interpreter's."""

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
_ETC = (
    "OpenCL",
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/ca-trust",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "protocols",
    "resolv.conf",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "static",
    "timezone",
    "vulkan",
)
"""Files of /etc without secrets. Root could also read /etc/shadow and SSH host keys."""

_PREFIX_PARTS = ("bin", "etc", "include", "lib", "lib64", "libexec", "nvvm", "pyvenv.cfg", "share", "ssl", "targets")
"""Parts of an interpreter's prefix. The prefix may also be a project's folder, with other files."""

_SHOW_FILES = """\
import json, sys
print(json.dumps([sys.executable, [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]]))
"""


_KEPT_SECONDS = 10.0
"""Time for which the paths of the system's files are cached, in seconds. Jobs start several times per second."""

FileEntry = tuple[str, str, str]
"""A file of a sandbox: kind, source and target."""


def machine_files(python: str) -> list[FileEntry]:
    """Return the files that programs of an interpreter see: the system's and the interpreter's, parents first."""
    return _machine_files(python, int(time.monotonic() / _KEPT_SECONDS))


@functools.lru_cache(maxsize=16)
def _machine_files(python: str, _period: int) -> list[FileEntry]:
    system = [*(Path(name) for name in _SYSTEM), *(Path("/etc", name) for name in _ETC)]
    return file_list([*system, *_interpreter_files(python)], ())


@functools.cache
def _interpreter_files(python: str) -> tuple[Path, ...]:
    """Return the program, standard library and packages of an interpreter or other program."""
    program, prefixes = sys.executable, [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    if python != sys.executable:
        try:
            command = [python, "-I", "-c", _SHOW_FILES]
            ended = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - as configured
            program, prefixes = json.loads(ended.stdout)
        except (OSError, subprocess.SubprocessError, ValueError):
            return (Path(python),)  # not a Python
    parts = [Path(prefix, part) for prefix in dict.fromkeys(prefixes) for part in _PREFIX_PARTS]
    return (Path(python), Path(program), *parts)


def file_list(
    readable: Iterable[Path], writable: Iterable[tuple[Path, str]], known: Iterable[FileEntry] = ()
) -> list[FileEntry]:
    """Return the files to add to the sandbox, parents first.

    Args:
        readable: Files and folders that keep their paths and cannot be changed. Missing ones are
            left out.
        writable: Folders, each with its path in the sandbox.
        known: Entries of an earlier list.
    """
    entries = {entry[2]: entry for entry in known}
    for path in readable:
        for kind, source, target in _resolved(path):
            entries.setdefault(target, (kind, source, target))
    for folder, target in writable:
        entries[target] = ("writable", os.path.realpath(folder), target)
    shown: list[FileEntry] = []
    folders: tuple[str, ...] = ()
    for target in sorted(entries):
        kind, source, _ = entries[target]
        if kind == "writable" or not target.startswith(folders or "\0"):
            shown.append(entries[target])
        if kind == "readable":
            folders += (f"{target}/",)
    return shown


def _resolved(path: Path) -> Iterator[FileEntry]:
    """Yield the symbolic links in a path, and the file or folder that they lead to."""
    ahead, current = list(path.absolute().parts[1:]), "/"
    links = 0
    while ahead:
        part = ahead.pop(0)
        if part == "..":
            current = os.path.dirname(current)
            continue
        step = os.path.join(current, part)
        if not os.path.islink(step):
            current = step
            continue
        links += 1
        if links > 40:
            return
        target = os.readlink(step)
        yield "link", target, step
        ahead = [item for item in target.split("/") if item not in ("", ".")] + ahead
        if target.startswith("/"):
            current = "/"
    if os.path.exists(current):
        yield "readable", current, current
