"""Denies system calls that reach what namespaces do not separate, with a seccomp filter.

The kernel's keyrings may hold credentials of the user, and are not in any namespace. The other
calls are rarely needed and have often let programs break out. Docker denies all of them too.
"""

import ctypes
import os
import struct

_DENIED: dict[str, tuple[int, int, tuple[int, ...]]] = {
    # machine: the kernel's number for the architecture, that of socket, and those of add_key,
    # request_key, keyctl, perf_event_open, open_by_handle_at, bpf, userfaultfd and io_uring_setup
    "x86_64": (0xC000003E, 41, (248, 249, 250, 298, 304, 321, 323, 425)),
    "aarch64": (0xC00000B7, 198, (217, 218, 219, 241, 265, 280, 282, 425)),
}
_X32_CALLS = 0x40000000
"""Calls of x86-64's 32-bit mode have numbers from here."""

_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _FIRST_ARGUMENT_OFFSET = 0, 4, 16
_UNIX_FAMILY = 1
_FAMILIES_WITHOUT_NAMESPACE = (38, 40)
"""Families of sockets that no network namespace separates: the kernel's cryptography (ALG), and
those between virtual machines and their host (VSOCK)."""
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
"""The second makes the call fail with EPERM."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def deny_system_calls(sockets: str = "") -> None:
    """Deny the calls to this process and its children.

    The process must have no_new_privs. Programs for another architecture can make no call.

    Args:
        sockets: Also deny "all" sockets, or those of the family "unix". Those that reach the host
            of a virtual machine are always denied.

    Raises:
        OSError: The kernel does not permit it, or the machine is not known.
    """
    if os.uname().machine not in _DENIED:
        raise OSError(38, f"the numbers of system calls on {os.uname().machine} are not known", "seccomp")
    architecture, socket, denied = _DENIED[os.uname().machine]
    if sockets == "all":
        denied = (*denied, socket)
    checks = [(_JUMP_IF_AT_LEAST, _X32_CALLS), *((_JUMP_IF_EQUAL, number) for number in denied)]
    families = (*_FAMILIES_WITHOUT_NAMESPACE, *([_UNIX_FAMILY] if sockets == "unix" else []))
    by_family = [
        (_JUMP_IF_EQUAL, 0, len(families) + 1, socket),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_OFFSET),
        # If a check is true, jump over the remaining ones and the permission to the refusal.
        *((_JUMP_IF_EQUAL, len(families) - position, 0, family) for position, family in enumerate(families)),
    ]
    ahead = len(checks) + len(by_family)
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_IF_EQUAL, 0, ahead + 2, architecture),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        # If a check is true, jump over the remaining instructions to the refusal.
        *((kind, ahead - position, 0, value) for position, (kind, value) in enumerate(checks)),
        *by_family,
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in code)
    if _libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(_Program(len(code), packed)), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "seccomp")
