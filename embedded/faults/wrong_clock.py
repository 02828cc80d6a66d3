"""The wrong clock of a function or an instance, which its Python code reads.

Processes of functions and containers run this file, so it imports nothing of this project. `set_clock`
and `follow` change what `time.time`, `time.time_ns`, `datetime.now` and the functions that use them
return in this process. They replace the C functions behind them, because a library may have imported
them long ago, and `datetime` cannot be replaced without breaking `isinstance`. Monotonic clocks, file
times and programs in other languages keep the right time.
"""

import ctypes
import datetime as dt
import json
import os
import time
from collections.abc import Callable
from typing import Any

VARIABLE = "EMBEDDED_AWS_CLOCK"
"""Variable with the file that says how wrong the clock of an instance is."""
_SECOND = 1_000_000_000
_NO_ARGUMENTS, _FAST = 0x4, 0x80 | 0x2
"""Flags of C functions: METH_NOARGS, and METH_FASTCALL with METH_KEYWORDS."""
_CLASS = 0x10

Setting = tuple[float, float, int]
"""Seconds by which the clock is ahead, seconds that pass on it per second, and since when, in nanoseconds."""
_RIGHT: Setting = (0.0, 1.0, 0)


class _State:
    """What the replaced functions read."""

    real_time: Callable[[], int] | None = None
    setting = _RIGHT
    file = ""
    version: tuple[int, int] = (0, 0)
    kept: list[Any] = []  # noqa: RUF012 - ctypes frees callbacks that nothing refers to


def set_clock(seconds: float, rate: float = 1.0) -> None:
    """Let the clock be wrong by some seconds from now on, and pass `rate` seconds per second."""
    _install()
    _State.setting = (seconds, rate, _real_time())


def reset_clock() -> None:
    """Let the clock be right again."""
    _State.setting = _RIGHT


def follow(file: str) -> None:
    """Let a file say how wrong the clock is, whenever it changes; see `write`."""
    _State.file = file
    _install()


def write(file: str, seconds: float, rate: float = 1.0) -> Setting:
    """Write the file that processes follow, and return its content."""
    setting = (seconds, rate, time.time_ns())
    written = f"{file}.new"
    with open(written, "w", encoding="utf-8") as opened:  # noqa: PTH123 - starts without pathlib
        json.dump(setting, opened)
    os.chmod(written, 0o644)  # noqa: PTH101
    os.replace(written, file)  # noqa: PTH105
    return setting


def time_of(setting: Setting) -> float:
    """Return the time of a wrong clock in a process that has the right one, in seconds since 1970."""
    return _wrong(time.time_ns(), setting) / _SECOND


def _real_time() -> int:
    return time.time_ns() if _State.real_time is None else _State.real_time()


def _now() -> int:
    """Return the wrong time, in nanoseconds since 1970."""
    if _State.file:
        _read()
    return _wrong(_real_time(), _State.setting)


def _wrong(now: int, setting: Setting) -> int:
    seconds, rate, since = setting
    return now + int(seconds * _SECOND) + (int((now - since) * (rate - 1)) if since else 0)


def _read() -> None:
    try:
        found = os.stat(_State.file)  # noqa: PTH116
        version = (found.st_mtime_ns, found.st_ino)
        if version != _State.version:
            with open(_State.file, encoding="utf-8") as opened:  # noqa: PTH123
                seconds, rate, since = json.load(opened)
            _State.setting, _State.version = (float(seconds), float(rate), int(since)), version
    except OSError:
        return  # the container ends


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int))


def _install() -> None:
    """Replace the C functions, once.

    Raises:
        RuntimeError: This Python has other functions than the ones that are known.
    """
    if _State.real_time is not None:
        return
    times = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p)
    moments = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.py_object, ctypes.POINTER(ctypes.py_object), ctypes.c_ssize_t, ctypes.c_void_p
    )
    classes = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_void_p)
    original = times(_method(time.time_ns, _NO_ARGUMENTS).code)

    def now(cls: Any, values: Any, positional: int, names: Any) -> Any:
        given = positional + (len(ctypes.cast(names, ctypes.py_object).value) if names else 0)
        return cls.fromtimestamp(_now() / _SECOND, values[0] if given else None)

    _State.real_time = lambda: int(original(None, None))
    for function, flags, replacement in (
        (time.time_ns, _NO_ARGUMENTS, times(lambda _self, _none: _now())),
        (time.time, _NO_ARGUMENTS, times(lambda _self, _none: _now() / _SECOND)),
        (dt.datetime.now, _FAST | _CLASS, moments(now)),
        (dt.datetime.utcnow, _NO_ARGUMENTS | _CLASS, classes(lambda cls, _none: _utc_now(cls))),
    ):
        _State.kept.append(replacement)
        _method(function, flags).code = ctypes.cast(replacement, ctypes.c_void_p)
    # These also take a time, which may be wrong: an exception could not leave a replaced C function.
    for name in ("gmtime", "localtime", "ctime"):
        setattr(time, name, _with_default(getattr(time, name)))
    strftime = time.strftime
    time.strftime = lambda text, *given: strftime(text, *given or (time.localtime(),))


def _utc_now(cls: Any) -> Any:
    return cls.fromtimestamp(_now() / _SECOND, dt.UTC).replace(tzinfo=None)


def _with_default(function: Callable[[float], Any]) -> Callable[..., Any]:
    def replaced(seconds: float | None = None) -> Any:
        return function(_now() / _SECOND if seconds is None else seconds)

    return replaced


def _method(function: Any, flags: int) -> _Method:
    """Return the definition of a C function, whose code can be replaced."""
    # The pointer to it follows the header that all objects have.
    address = ctypes.c_void_p.from_address(id(function) + object.__basicsize__).value
    method = _Method.from_address(address or 0)
    if method.flags != flags:
        raise RuntimeError(f"the clock cannot be wrong: this Python implements {function.__name__} in another way")
    return method
