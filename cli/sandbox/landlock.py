"""Landlock: limits a process to named files, where the kernel refuses namespaces to ordinary users.

The process keeps its rights over the named files and loses all others; programs that it starts
inherit the limit. It may still see that other files exist, and change their mode and times. It may
connect to sockets that are files, unless `system_calls` denies sockets.
"""

import ctypes
import os
import sys

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION, _PATH_BENEATH = 1, 1
_NEEDED_VERSION = 4
"""The first version that limits truncation of files and TCP (Linux 6.7)."""

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK, _REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 6, 1 << 11, 1 << 13, 1 << 14, 1 << 15
_ALL_OF_FILES = (_TRUNCATE << 1) - 1
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_WRITE = _ALL_OF_FILES & ~(_MAKE_CHAR | _MAKE_BLOCK)
_OF_FILES_ALONE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_TCP = 0b11
_ABSTRACT_SOCKETS, _SIGNALS = 0b01, 0b10

_KERNEL_FILES = ("/proc", "/sys")
_DEVICES = ("null", "zero", "full", "random", "urandom", "shm")
_GPU_DEVICES = ("nvidia", "dri", "kfd")

_libc = ctypes.CDLL(None, use_errno=True)


def limit_files(files: list[tuple[str, str, str]], *, own_network: bool) -> None:
    """Limit this process to the files of a `file_list`, the kernel's and harmless devices.

    With `own_network`, it can neither open nor accept TCP connections. It must have no_new_privs.

    Raises:
        OSError: The kernel has no Landlock, or too old a version.
    """
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_GET_VERSION))
    if version < _NEEDED_VERSION:
        raise OSError(38, f"needs version {_NEEDED_VERSION} or newer, found {max(version, 0)}", "Landlock")
    handled = _ALL_OF_FILES | (_IOCTL_DEVICE if version >= 5 else 0)
    scope = (_SIGNALS | (_ABSTRACT_SOCKETS if own_network else 0)) if version >= 6 else 0
    attributes = (ctypes.c_uint64 * 3)(handled, _TCP if own_network else 0, scope)
    size = ctypes.c_size_t(24 if version >= 6 else 16)
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, attributes, size, ctypes.c_uint32(0)))
    for kind, source, _target in files:
        if kind != "link":
            _allow(ruleset, source, (_WRITE if kind == "writable" else _READ) & handled)
    for path in _KERNEL_FILES:
        _allow(ruleset, path, _READ & ~_EXECUTE)
    gpus = [name for name in os.listdir("/dev") if name.startswith(_GPU_DEVICES)]
    for name in (*_DEVICES, *gpus):
        if os.path.exists(f"/dev/{name}"):
            _allow(ruleset, f"/dev/{name}", (_WRITE | _IOCTL_DEVICE) & ~_EXECUTE & handled)
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)))
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            access &= _OF_FILES_ALONE
        rule = (ctypes.c_char * 12).from_buffer_copy(
            access.to_bytes(8, sys.byteorder) + handle.to_bytes(4, sys.byteorder, signed=True)
        )
        _checked(_libc.syscall(_ADD_RULE, ruleset, ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0)), path)
    finally:
        os.close(handle)


def _checked(result: int, what: str = "Landlock") -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
