"""Splits CSV into blocks of whole records, and into single records.

A block is clean if every quote in it opens a cell, closes one, or is doubled within one. In a clean
block, a line end also ends a record if the number of quotes before it is even, without the escaped
ones. So the whole block can be checked at once.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scoring.readers.text.text_object import BLOCK_BYTES, MAX_RECORD_BYTES

_LINE_FEED, _RETURN = b"\n\r"
_MARK_AND_RETURN = 4
"""Bytes of a byte order mark and a carriage return."""
_SLOW_BYTES = 256 << 10
"""Bytes to read record by record after a misplaced quote, before blocks are tried again."""

_IS_LETTER = np.zeros(256, dtype=bool)
"""Mask of the letters that some programs read as a control character after an escape."""
_IS_LETTER[list(b"0Zbfnrtv")] = True

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Record:
    """A record: its bytes including the line end, and its cells or the reason why it has none."""

    raw: bytes
    cells: tuple[bytes, ...]
    problem: str = ""

    @property
    def is_blank(self) -> bool:
        return not self.raw.strip(b"\r\n")


@dataclass(frozen=True)
class Block:
    """Whole records: clean with the offsets of their line feeds, or read one by one."""

    data: bytes
    ends: Offsets
    records: tuple[Record, ...] | None = None

    def first_row_bytes(self) -> int:
        if self.records:
            return len(self.records[0].raw)
        return int(self.ends[0]) + 1 if len(self.ends) else len(self.data)

    def _lines(self) -> tuple[Offsets, Offsets]:
        """Return the starts of lines and their lengths without line feeds."""
        starts = np.concatenate(([0], self.ends + 1))
        return starts, np.append(self.ends, len(self.data)) - starts

    def may_have_line(self, line: bytes) -> bool:
        """Return whether a record of a clean block may be this line; False if `line` is empty."""
        if not line:
            return False
        starts, lengths = self._lines()
        longer = lengths - len(line)
        # It may end in a carriage return, and begin with a byte order mark of three bytes.
        likely = starts[(longer >= 0) & (longer <= _MARK_AND_RETURN)]
        return any(line in self.data[start : start + len(line) + _MARK_AND_RETURN] for start in likely.tolist())

    def rows(self) -> int:
        """Return the number of rows of a clean block, without blank lines."""
        array = np.frombuffer(self.data, dtype=np.uint8)
        starts, lengths = self._lines()
        blank = lengths == 0
        single = np.flatnonzero(lengths == 1)
        blank[single[array[starts[single]] == _RETURN]] = True
        return int(len(blank) - blank.sum())

    def split(self, size: int) -> Iterator["Block"]:
        """Split a clean block into blocks of about `size` bytes."""
        start = 0
        while start < len(self.data):
            after = int(np.searchsorted(self.ends, start + size))
            stop = int(self.ends[after]) + 1 if after < len(self.ends) else len(self.data)
            first = int(np.searchsorted(self.ends, start))
            yield Block(self.data[start:stop], self.ends[first : after + 1] - start)
            start = stop


@dataclass(frozen=True)
class Escapes:
    """The escapes in some data."""

    active: Offsets
    """Escapes that are not escaped themselves."""
    is_escaped: npt.NDArray[np.bool_]
    """Mask of the bytes after an active escape."""

    @classmethod
    def find(cls, array: npt.NDArray[np.uint8], escape: bytes) -> "Escapes":
        """Find the escapes in data that begins with a record."""
        places = np.flatnonzero(array == escape[0])
        # In a run of escapes, every second one is escaped by the one before.
        is_first = np.diff(places, prepend=-2) != 1
        start = np.maximum.accumulate(np.where(is_first, np.arange(len(places)), 0))
        active = places[(np.arange(len(places)) - start) % 2 == 0]
        is_escaped = np.zeros(len(array) + 1, dtype=bool)
        is_escaped[active + 1] = True
        return cls(active, is_escaped[:-1])

    def without(self, places: Offsets) -> Offsets:
        """Return the places that are not escaped."""
        return places[~self.is_escaped[places]]

    def only(self, places: Offsets) -> Offsets:
        """Return the places that are escaped."""
        return places[self.is_escaped[places]]


@dataclass(frozen=True)
class LineEnds:
    """The line feeds that end records, up to the first misplaced quote."""

    offsets: Offsets
    is_clean: bool = True
    """Whether no quote is misplaced."""
    is_closed: bool = True
    """Whether every quoted cell is closed."""


class Dialect:
    """A delimiter, a quote and an escape of one byte each.

    An empty quote means that nothing is quoted, an empty escape that nothing is escaped.
    `escapes_unquoted` tells whether escapes also count outside of quotes.
    """

    def __init__(self, delimiter: str, quote: str, escape: str = "", *, escapes_unquoted: bool = True) -> None:
        self.delimiter, self.quote, self.escape = delimiter.encode(), quote.encode(), escape.encode()
        self.escapes_unquoted = bool(escape) and escapes_unquoted
        self._quote = self.quote[0] if quote else -1
        self._neighbours = np.zeros(256, dtype=bool)
        self._neighbours[[*self.delimiter, *self.quote, _LINE_FEED, _RETURN]] = True
        self.escapable = self.quote + self.escape + (self.delimiter + b"\r\n" if escapes_unquoted else b"")
        """Bytes that an escape makes part of a cell. Before any other byte the escape stays."""
        # Without a quote the pattern is unused, but must compile.
        quoted = re.escape(self.quote or b'"')
        escaped = re.escape(self.escape)
        # Possessive, because backtracking would cost memory in cells of many megabytes.
        plain = b"[^" + re.escape(self.delimiter) + b"\r\n"
        if self.escapes_unquoted:
            self._plain = re.compile(b"(?:" + plain + escaped + b"]++|" + escaped + b"(?:.|\\Z))*+", re.DOTALL)
        else:
            self._plain = re.compile(plain + b"]*+")
        other, pair = b"[^" + quoted + escaped + b"]*+", quoted * 2
        if escape:
            pair += b"|" + escaped + b"."
        self._quoted = re.compile(quoted + b"(" + other + b"(?:(?:" + pair + b")" + other + b")*+)" + quoted, re.DOTALL)
        self._escapes = re.compile(escaped + b"([" + re.escape(self.escapable) + b"])") if escape else None
        self._in_quotes = re.compile(
            pair if not escape else quoted * 2 + b"|" + escaped + b"([" + re.escape(self.escapable) + b"])"
        )

    def line_ends(self, data: bytes) -> LineEnds:
        """Find the ends of records in data that begins with a record."""
        array = np.frombuffer(data, dtype=np.uint8)
        escapes = Escapes.find(array, self.escape) if self.escape and self.escape in data else None
        if not self.quote or self.quote not in data:
            feeds = np.flatnonzero(array == _LINE_FEED)
            return LineEnds(feeds if escapes is None or not self.escapes_unquoted else escapes.without(feeds))
        quotes = np.flatnonzero(array == self._quote)
        if escapes is not None:
            quotes, skipped = escapes.without(quotes), escapes.only(quotes)
        limit, is_clean = self._first_misplaced(array, quotes, escapes)
        if escapes is not None and not self.escapes_unquoted:
            outside = skipped[np.searchsorted(quotes, skipped) % 2 == 0][:1]
            if len(outside):
                limit, is_clean = min(limit, int(outside[0])), False
        feeds = np.flatnonzero(array[:limit] == _LINE_FEED)
        feeds = feeds[np.searchsorted(quotes, feeds) % 2 == 0]
        if escapes is not None and self.escapes_unquoted:
            feeds = escapes.without(feeds)
        return LineEnds(feeds, is_clean, len(quotes) % 2 == 0)

    def _first_misplaced(
        self, array: npt.NDArray[np.uint8], quotes: Offsets, escapes: "Escapes | None"
    ) -> tuple[int, bool]:
        opening, closing = quotes[::2], quotes[1::2]
        before = opening[opening > 0]
        after = closing[closing + 1 < len(array)]
        is_wrong_before = ~self._neighbours[array[before - 1]]
        if escapes is not None and self.escapes_unquoted:
            is_wrong_before |= escapes.is_escaped[before - 1]
        wrong = [before[is_wrong_before][:1], after[~self._neighbours[array[after + 1]]][:1]]
        found = [int(places[0]) for places in wrong if len(places)]
        return (min(found), False) if found else (len(array), True)

    def for_arrow(self, data: bytes) -> tuple[bytes, int]:
        """Return clean data as Arrow's parser must get it, and the number of escapes before letters.

        Arrow drops every escape, so those that stay part of a cell are doubled.
        """
        if not self.escape or self.escape not in data:
            return data, 0
        array = np.frombuffer(data, dtype=np.uint8)
        escapes = Escapes.find(array, self.escape)
        can_be_escaped = np.zeros(256, dtype=bool)
        can_be_escaped[list(self.escapable)] = True
        # A line feed stands for the byte after the last one.
        after = np.append(array, _LINE_FEED)[escapes.active + 1]
        is_last = escapes.active == len(array) - 1
        stays = escapes.active[~can_be_escaped[after] | is_last]
        letters = 0
        if not self.escapes_unquoted:
            quotes = escapes.without(np.flatnonzero(array == self._quote))
            places = np.flatnonzero(array == self.escape[0])
            outside = places[np.searchsorted(quotes, places) % 2 == 0]
            inside = stays[np.searchsorted(quotes, stays) % 2 == 1]
            stays = np.sort(np.concatenate((outside, inside)))
        else:
            letters = int(_IS_LETTER[after].sum())
        return np.insert(array, stays, self.escape[0]).tobytes(), letters

    def records(self, data: bytes, *, is_whole: bool, at_most: int | None = None) -> Iterator[Record]:
        """Yield records until one ends after `at_most` bytes.

        With `is_whole`, the end of the data ends the last record, and an unclosed quote affects
        only its line. Otherwise, only records are returned whose end does not depend on the data
        that follows.
        """
        at = 0
        while at < len(data) and (at_most is None or at < at_most):
            found = self._record(data, at, is_whole=is_whole)
            if found is None:
                return
            yield found
            at += len(found.raw)

    def _record(self, data: bytes, start: int, *, is_whole: bool) -> Record | None:
        cells: list[bytes] = []
        problem = ""
        at = start
        while True:
            if self.quote and data.startswith(self.quote, at):
                match = self._quoted.match(data, at)
                if match is None:
                    return self._unclosed(data, start, at, len(cells)) if is_whole else None
                cells.append(self._unquoted(match[1]))
                at = match.end()
                end = self._plain.match(data, at).end()  # type: ignore[union-attr]
                if end > at:
                    problem = problem or f"has text after the closing quote of cell {len(cells)}"
                at = end
            else:
                match = self._plain.match(data, at)
                cells.append(self._unescaped(match[0]))  # type: ignore[index]
                at = match.end()  # type: ignore[union-attr]
            if at == len(data) or (data.endswith(b"\r") and at == len(data) - 1):
                # The line feed after a carriage return may follow in the next data.
                return Record(data[start:], tuple(cells), problem) if is_whole else None
            if data.startswith(self.delimiter, at):
                at += 1
                continue
            at += 2 if data.startswith(b"\r\n", at) else 1
            return Record(data[start:at], tuple(cells), problem)

    def _unquoted(self, cell: bytes) -> bytes:
        if self._escapes is None or self.escape not in cell:
            return cell.replace(self.quote * 2, self.quote)
        return self._in_quotes.sub(lambda found: found[1] or self.quote, cell)

    def _unescaped(self, cell: bytes) -> bytes:
        return self._escapes.sub(rb"\1", cell) if self.escapes_unquoted and self._escapes else cell

    def letters(self, raw: bytes) -> int:
        """Return the number of escapes before letters in a record."""
        return self.for_arrow(raw)[1]

    def _unclosed(self, data: bytes, start: int, quote: int, cells: int) -> Record:
        ends = [at for mark in (b"\n", b"\r") if (at := data.find(mark, quote)) >= 0]
        end = min(ends) + 1 if ends else len(data)
        if data[end - 1 : end + 1] == b"\r\n":
            end += 1
        return Record(data[start:end], (), f"has a quote that opens cell {cells + 1} and is never closed")


def blocks(read: Callable[[int], bytes], dialect: Dialect) -> Iterator[Block | None]:
    """Yield blocks of whole records; None for a record that is too long, which ends the iteration.

    `read` returns fewer bytes than requested only at the end.
    """
    data, ended = b"", False
    size = BLOCK_BYTES
    while data or not ended:
        if not ended:
            more = read(size)
            ended = len(more) < size
            data += more
        size = BLOCK_BYTES
        while data:
            block, is_clean = _first_block(data, dialect, ended=ended)
            if block is not None and block.first_row_bytes() > MAX_RECORD_BYTES:
                yield None
                return
            if block is None and len(data) >= MAX_RECORD_BYTES:
                # No record ends within the limit. If a quote is unclosed, records may begin again
                # on the next line.
                block = _by_records(data, dialect, is_whole=True, at_most=1)
                if block is None or (len(block.data) == len(data) and not ended):
                    yield None
                    return
            if block is None:
                size = max(BLOCK_BYTES, len(data))
                break
            yield block
            data = data[len(block.data) :]
            if is_clean and not ended:
                break


def _first_block(data: bytes, dialect: Dialect, *, ended: bool) -> tuple[Block | None, bool]:
    """Return the first block, None if no record ends in the data, and whether the data is clean."""
    found = dialect.line_ends(data)
    ends, is_clean = found.offsets, found.is_clean
    if is_clean and ended and found.is_closed:
        return Block(data, ends), True
    if len(ends):
        return Block(data[: int(ends[-1]) + 1], ends), is_clean
    if is_clean and not ended:
        return None, True
    return _by_records(data, dialect, is_whole=ended, at_most=_SLOW_BYTES), is_clean


def _by_records(data: bytes, dialect: Dialect, *, is_whole: bool, at_most: int) -> Block | None:
    records = tuple(dialect.records(data, is_whole=is_whole, at_most=at_most))
    size = sum(len(record.raw) for record in records)
    return Block(data[:size], np.empty(0, dtype=np.int64), records) if records else None
