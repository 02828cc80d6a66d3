"""Splits what a program prints into lines, of which none is too long and none is lost."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

_MAX_LINE_BYTES = 32 << 10
"""Longest line, in bytes. CloudWatch Logs takes 256 KB, and a byte takes up to six as an escape in JSON."""
_SECONDS_BETWEEN_UPDATES = 10.0
"""Time between two logged updates of a progress bar, in seconds."""
_CONTINUATION, _CONTINUATION_MASK, _MAX_CHARACTER_BYTES = 0x80, 0xC0, 4


class PrintedLine(NamedTuple):
    """One line, or a piece of a long one."""

    text: str
    """Without its end. Bytes that are not UTF-8 are written as `\\xff`."""
    continues: bool
    """Whether the next piece belongs to the same line."""


class PrintedLines:
    """Makes lines of the bytes that arrive. Keeps at most one line's bytes in memory.

    A line ends with a line feed, with or without a carriage return before it. A carriage return
    alone starts the line anew, as progress bars do: an update that was overwritten is left out, as
    on a terminal, except for one every ten seconds. Empty lines are left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rest = b""
        self._update = b""
        """The last update that was not returned."""
        self._updated_at = float("-inf")

    def add(self, data: bytes) -> list[PrintedLine]:
        """Return the lines that end in `data`, and parts of a line that gets too long."""
        *lines, rest = (self._rest + data).split(b"\n")
        found = [piece for line in lines for piece in self._end_line(line)]
        # The last carriage return may belong to a line feed that comes next.
        overwritten, _, rest = _at_last_return(rest)
        found += self._add_update(overwritten)
        while len(rest) > _MAX_LINE_BYTES:
            piece, rest = _cut(rest)
            found.append(PrintedLine(_decode(piece), continues=True))
        self._rest = rest
        return found

    def end(self) -> list[PrintedLine]:
        """Return the line that has no end."""
        rest, self._rest = self._rest, b""
        return list(self._end_line(rest))

    def _end_line(self, line: bytes) -> Iterator[PrintedLine]:
        line = line.rstrip(b"\r").rpartition(b"\r")[2]
        line, self._update = line or self._update, b""
        while len(line) > _MAX_LINE_BYTES:
            piece, line = _cut(line)
            yield PrintedLine(_decode(piece), continues=True)
        if line:
            yield PrintedLine(_decode(line), continues=False)

    def _add_update(self, overwritten: bytes) -> list[PrintedLine]:
        """Return the last of some overwritten updates, if it is time for one."""
        update = next((text for text in reversed(overwritten.split(b"\r")) if text.strip()), b"")
        if not update:
            return []
        now = self._clock()
        if now - self._updated_at < _SECONDS_BETWEEN_UPDATES:
            self._update = update[-_MAX_LINE_BYTES:]
            return []
        self._updated_at, self._update = now, b""
        return [PrintedLine(_decode(update[-_MAX_LINE_BYTES:]), continues=False)]


def _at_last_return(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Split at the last carriage return that does not end the line."""
    body = line.rstrip(b"\r")
    before, found, after = body.rpartition(b"\r")
    return before, found, after + line[len(body) :][:1]


def _cut(line: bytes) -> tuple[bytes, bytes]:
    """Cut a line that is too long, at most at the length and not within a character."""
    end = _MAX_LINE_BYTES
    while end > _MAX_LINE_BYTES - _MAX_CHARACTER_BYTES and line[end] & _CONTINUATION_MASK == _CONTINUATION:
        end -= 1
    return line[:end], line[end:]


def _decode(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
