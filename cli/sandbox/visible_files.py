"""Files of this machine that a sandboxed program sees: the system's and its interpreter's."""

import functools
import json
import os
import subprocess
import sys
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


def system_files() -> list[Path]:
    """Return the folders with programs and libraries, and the settings that they read."""
    return [Path(name) for name in _SYSTEM] + [Path("/etc", name) for name in _ETC]


@functools.cache
def interpreter_files(python: str) -> tuple[Path, ...]:
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


def file_list(readable: Iterable[Path], writable: Iterable[tuple[Path, str]]) -> list[tuple[str, str, str]]:
    """Return the files to add to the sandbox: `(kind, source, target)`, parents first.

    Args:
        readable: Files and folders that keep their paths and cannot be changed. Missing ones are
            left out.
        writable: Folders, each with its path in the sandbox.
    """
    entries: dict[str, tuple[str, str, str]] = {}
    for path in readable:
        for kind, source, target in _resolved(path):
            entries.setdefault(target, (kind, source, target))
    for folder, target in writable:
        entries[target] = ("writable", os.path.realpath(folder), target)
    shown: list[tuple[str, str, str]] = []
    folders: tuple[str, ...] = ()
    for target in sorted(entries):
        kind, source, _ = entries[target]
        if kind == "writable" or not target.startswith(folders or "\0"):
            shown.append(entries[target])
        if kind == "readable":
            folders += (f"{target}/",)
    return shown


def _resolved(path: Path) -> Iterator[tuple[str, str, str]]:
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
