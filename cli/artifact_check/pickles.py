"""Reads the classes and versions that pickles name, without running the pickles.

joblib's files are read too. They may be compressed, and have the bytes of arrays between opcodes.
The reader follows the opcodes with placeholders in place of objects, so nothing of the file is
imported or called. It stops at limits of bytes and opcodes, and at unknown opcodes. The result is
then marked as incomplete.
"""

import bz2
import gzip
import io
import lzma
import math
import pickletools
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_MAX_BYTES = 1 << 30
"""Largest number of bytes to read, after decompression."""
_MAX_READ_BYTES = 256 << 20
"""Largest value that is read into memory."""
_MAX_OPCODES = 2_000_000
_MAX_SECONDS = 10.0
_MAX_LINE_BYTES = 1 << 16
_MAX_TEXT_CHARACTERS = 500
"""Longest text that is kept; names and versions are shorter."""
_MAX_INTEGER_BITS = 64
_MAX_NAMES = 5_000
_MAX_NESTED = 1_000
"""Largest number of pickles in one file; each array of objects is one."""
_CHUNK_BYTES = 1 << 20

_VERSION_KEYS = {"_sklearn_version": "scikit-learn"}
"""Libraries by the attribute in which their objects state the version."""
_ARRAY_WRAPPER = "NumpyArrayWrapper"
_HAS_OBJECT_FLAG = 1
"""Flag of a NumPy type that holds objects."""


@dataclass
class PickleContent:
    """The classes and versions in a pickle."""

    globals: dict[str, set[str]] = field(default_factory=dict)
    """Names of classes and functions, by module."""
    versions: dict[str, set[str]] = field(default_factory=dict)
    """Stated versions, by library."""
    complete: bool = False
    """Whether the whole file was read."""
    is_pickle: bool = False
    compression: str = ""


class _StopError(Exception):
    """A limit is reached, or the file has an unknown opcode."""


def read_pickle(file: BinaryIO) -> PickleContent:
    """Read a pickle or a file of joblib from its start, as far as the limits allow."""
    found = PickleContent()
    head = file.read(8)
    file.seek(0)
    found.compression = compression_of(head)
    stream = _Limited(_decompressed(file, found.compression))
    try:
        _Reader(stream, found).read()
        found.complete = True
    # Damaged and hostile files raise errors of many kinds, also from the decompressors.
    except Exception:
        found.complete = False
    return found


def compression_of(head: bytes) -> str:
    """Return how joblib compressed a file that begins with these bytes; empty if it did not."""
    return next((name for magic, name in _COMPRESSIONS.items() if head.startswith(magic)), "")


_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ": "xz",
    b"\x5d\x00\x00": "lzma",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x78\x01": "zlib",
    b"\x78\x5e": "zlib",
    b"\x78\x9c": "zlib",
    b"\x78\xda": "zlib",
}


class _Zlib(io.RawIOBase):
    """A stream that zlib compressed, as joblib writes it with `compress=3`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._unzip = zlib.decompressobj()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._unzip.eof:
            packed = self._unzip.unconsumed_tail or self._file.read(_CHUNK_BYTES)
            chunk = self._unzip.decompress(packed, len(buffer))
            if chunk:
                buffer[: len(chunk)] = chunk
                return len(chunk)
            if not packed:
                break
        return 0


def _decompressed(file: BinaryIO, compression: str) -> Any:
    if compression == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if compression == "bz2":
        return bz2.BZ2File(file, "rb")
    if compression in ("xz", "lzma"):
        return lzma.LZMAFile(file, "rb")
    if compression == "zlib":
        return io.BufferedReader(_Zlib(file), _CHUNK_BYTES)
    return file


class _Limited:
    """A stream that refuses reads beyond a limit, whatever length a file claims."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = _MAX_BYTES
        self._deadline = time.monotonic() + _MAX_SECONDS

    def read(self, size: int) -> bytes:
        if size > min(self._left, _MAX_READ_BYTES) or time.monotonic() > self._deadline:
            raise _StopError
        self._left -= size
        chunk: bytes = self._stream.read(size)
        return chunk

    def readline(self) -> bytes:
        line: bytes = self._stream.readline(_MAX_LINE_BYTES)
        self._left -= len(line)
        if self._left < 0 or len(line) == _MAX_LINE_BYTES:
            raise _StopError
        return line

    def skip(self, size: int) -> None:
        while size > 0:
            chunk = self.read(min(size, _CHUNK_BYTES))
            if not chunk:
                raise EOFError
            size -= len(chunk)


@dataclass(frozen=True)
class _Global:
    module: str
    name: str


@dataclass
class _Object:
    """Placeholder of an object that a pickle creates by calling `made_by`."""

    made_by: Any
    arguments: Any
    state: Any = None


_MARK = object()
_OTHER = object()
"""Placeholder of every other value."""


class _Reader:
    """Follows the opcodes of a file."""

    def __init__(self, stream: _Limited, found: PickleContent) -> None:
        self._stream = stream
        self._found = found
        self._opcodes = 0
        self._pickles = 0
        self._names = 0

    def read(self) -> None:
        """Read one pickle to its end, and those inside its arrays."""
        self._pickles += 1
        if self._pickles > _MAX_NESTED:
            raise _StopError
        stack: list[Any] = []
        memo: dict[int, Any] = {}
        for opcode, argument, _ in pickletools.genops(self._stream):  # type: ignore[arg-type]
            self._opcodes += 1
            if self._opcodes > _MAX_OPCODES:
                raise _StopError
            self._found.is_pickle = True
            self._step(opcode.name, argument, stack, memo)

    def _step(self, name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
        if name in _IGNORED:
            return
        if name == "MEMOIZE":
            _remember(memo, len(memo), stack)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            _remember(memo, int(argument), stack)
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo.get(int(argument), _OTHER))
        elif name in ("GLOBAL", "INST"):
            module, _, attribute = str(argument).partition(" ")
            made_by = self._global(module, attribute)
            stack.append(_Object(made_by, tuple(_to_mark(stack))) if name == "INST" else made_by)
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(self._global(module, attribute))
        elif name == "BUILD":
            state = stack.pop()
            self._build(stack[-1], state)
        elif name in _STEPS:
            _STEPS[name](stack)
        else:
            _push(name, argument, stack)

    def _global(self, module: Any, name: Any) -> Any:
        if not isinstance(module, str) or not isinstance(name, str):
            return _OTHER
        self._names += 1
        if self._names <= _MAX_NAMES:
            self._found.globals.setdefault(module, set()).add(name)
        return _Global(module, name)

    def _build(self, target: Any, state: Any) -> None:
        if isinstance(state, dict):
            for key, library in _VERSION_KEYS.items():
                version = state.get(key)
                if isinstance(version, str) and len(self._found.versions.get(library, ())) < _MAX_NAMES:
                    self._found.versions.setdefault(library, set()).add(version)
        if not isinstance(target, _Object):
            return
        target.state = state
        made_by = target.made_by
        if isinstance(made_by, _Global) and made_by.name == _ARRAY_WRAPPER and made_by.module.startswith("joblib."):
            self._skip_array(state)

    def _skip_array(self, wrapper: Any) -> None:
        """Skip the bytes of an array, which follow the wrapper that describes them."""
        kind, shape = wrapper["dtype"], wrapper["shape"]
        if not all(type(length) is int for length in shape):
            raise _StopError
        details = kind.state
        code = str(kind.arguments[0])
        if "O" in code or details[7] & _HAS_OBJECT_FLAG:
            self.read()
            return
        size = details[5] if details[5] > 0 else int("".join(filter(str.isdigit, code)))
        if wrapper.get("numpy_array_alignment_bytes") is not None:
            self._stream.skip(self._stream.read(1)[0])
        self._stream.skip(math.prod(shape) * size)


def _remember(memo: dict[int, Any], key: int, stack: list[Any]) -> None:
    # MEMOIZE counts by the size of the memo, so every key is kept.
    memo[key] = stack[-1]


def _to_mark(stack: list[Any]) -> list[Any]:
    values: list[Any] = []
    while (value := stack.pop()) is not _MARK:
        values.append(value)
    values.reverse()
    return values


def _set_items(target: Any, values: list[Any]) -> None:
    if isinstance(target, dict):
        # Only texts: hashes of other keys can be made to collide.
        target.update((key, value) for key, value in zip(values[::2], values[1::2], strict=True) if type(key) is str)


def _call(stack: list[Any], extra: int = 0) -> None:
    arguments = [stack.pop() for _ in range(1 + extra)][-1]
    stack.append(_Object(stack.pop(), arguments))


def _make_object(stack: list[Any]) -> None:
    cls, *arguments = _to_mark(stack)
    stack.append(_Object(cls, tuple(arguments)))


def _make_dict(stack: list[Any]) -> None:
    values = _to_mark(stack)
    made: dict[str, Any] = {}
    _set_items(made, values)
    stack.append(made)


def _set_item(stack: list[Any]) -> None:
    value, key = stack.pop(), stack.pop()
    _set_items(stack[-1], [key, value])


def _set_marked_items(stack: list[Any]) -> None:
    values = _to_mark(stack)
    _set_items(stack[-1], values)


def _tuple_of(count: int) -> Callable[[list[Any]], None]:
    def make(stack: list[Any]) -> None:
        values = tuple(stack[len(stack) - count :])
        del stack[len(stack) - count :]
        stack.append(values)

    return make


def _replace_marked(stack: list[Any]) -> None:
    _to_mark(stack)
    stack.append(_OTHER)


_IGNORED = frozenset({"PROTO", "FRAME", "STOP", "READONLY_BUFFER"})
_STEPS: dict[str, Callable[[list[Any]], object]] = {
    "MARK": lambda stack: stack.append(_MARK),
    "POP": lambda stack: stack.pop(),
    "POP_MARK": _to_mark,
    "DUP": lambda stack: stack.append(stack[-1]),
    "NONE": lambda stack: stack.append(None),
    "NEWTRUE": lambda stack: stack.append(True),
    "NEWFALSE": lambda stack: stack.append(False),
    "EMPTY_DICT": lambda stack: stack.append({}),
    "DICT": _make_dict,
    "SETITEM": _set_item,
    "SETITEMS": _set_marked_items,
    "EMPTY_LIST": lambda stack: stack.append(_OTHER),
    "LIST": _replace_marked,
    "APPEND": lambda stack: stack.pop(),
    "APPENDS": _to_mark,
    "EMPTY_SET": lambda stack: stack.append(_OTHER),
    "ADDITEMS": _to_mark,
    "FROZENSET": _replace_marked,
    "EMPTY_TUPLE": lambda stack: stack.append(()),
    "TUPLE": lambda stack: stack.append(tuple(_to_mark(stack))),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "REDUCE": _call,
    "NEWOBJ": _call,
    "NEWOBJ_EX": lambda stack: _call(stack, 1),
    "OBJ": _make_object,
    "BINPERSID": lambda stack: stack.__setitem__(-1, _OTHER),
}


def _push(name: str, argument: Any, stack: list[Any]) -> None:
    """Carry out an opcode that pushes its argument: a number, a text, bytes or a reference."""
    if isinstance(argument, str) and len(argument) > _MAX_TEXT_CHARACTERS:
        stack.append(_OTHER)
    elif isinstance(argument, int) and argument.bit_length() > _MAX_INTEGER_BITS:
        # A product of lengths with millions of digits would take hours.
        stack.append(_OTHER)
    elif isinstance(argument, (str, int, float)) and "PERSID" not in name and "EXT" not in name:
        stack.append(argument)
    else:
        stack.append(_OTHER)
