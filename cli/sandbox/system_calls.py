"""Denies system calls that reach what namespaces do not separate, with a seccomp filter.

The kernel's keyrings may hold credentials of the user, and are not in any namespace. The other
calls are rarely needed and have often let programs break out. Docker denies all of them too.
"""

import ctypes
import os
import struct

_DENIED = {
    # machine: the kernel's number for the architecture, and those of add_key, request_key, keyctl,
    # perf_event_open, open_by_handle_at, bpf, userfaultfd and io_uring_setup
    "x86_64": (0xC000003E, (248, 249, 250, 298, 304, 321, 323, 425)),
    "aarch64": (0xC00000B7, (217, 218, 219, 241, 265, 280, 282, 425)),
}
_X32_CALLS = 0x40000000
"""Calls of x86-64's 32-bit mode have numbers from here."""

_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
"""The second makes the call fail with EPERM."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def deny_system_calls() -> None:
    """Deny the calls to this process and its children, where the kernel permits it.

    The process must have no_new_privs. Programs for another architecture can make no call.
    """
    if os.uname().machine not in _DENIED:
        return
    architecture, denied = _DENIED[os.uname().machine]
    checks = [(_JUMP_IF_AT_LEAST, _X32_CALLS), *((_JUMP_IF_EQUAL, number) for number in denied)]
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_IF_EQUAL, 0, len(checks) + 2, architecture),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        # If a check is true, jump over the remaining checks and over the permission.
        *((kind, len(checks) - position, 0, value) for position, (kind, value) in enumerate(checks)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in code)
    _libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(_Program(len(code), packed)), 0, 0)
