"""Splits CSV into blocks of whole records, and into single records.

A block is clean if every quote in it opens a cell, closes one, or is doubled within one. In a clean
block, a line end also ends a record if the number of quotes before it is even. So the whole block
can be checked at once.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scoring.readers.text.text_object import BLOCK_BYTES, MAX_RECORD_BYTES

_LINE_FEED, _RETURN = b"\n\r"
_SLOW_BYTES = 256 << 10
"""Bytes to read record by record after a misplaced quote, before blocks are tried again."""

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

    def rows(self) -> int:
        """Return the number of rows of a clean block, without blank lines."""
        array = np.frombuffer(self.data, dtype=np.uint8)
        starts = np.concatenate(([0], self.ends + 1))
        stops = np.append(self.ends, len(self.data))
        lengths = stops - starts
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


class Dialect:
    """A delimiter and a quote of one byte each; an empty quote means that nothing is quoted."""

    def __init__(self, delimiter: str, quote: str) -> None:
        self.delimiter, self.quote = delimiter.encode(), quote.encode()
        self._quote = self.quote[0] if quote else -1
        # Without a quote the pattern is unused, but must compile.
        escaped = re.escape(self.quote or b'"')
        self._plain = re.compile(b"[^" + re.escape(self.delimiter) + b"\r\n]*+")
        # Possessive, because backtracking would cost memory in cells of many megabytes.
        self._quoted = re.compile(
            escaped + b"([^" + escaped + b"]*+(?:" + escaped * 2 + b"[^" + escaped + b"]*+)*+)" + escaped
        )
        self._neighbours = np.zeros(256, dtype=bool)
        self._neighbours[[*self.delimiter, *self.quote, _LINE_FEED, _RETURN]] = True

    def line_ends(self, data: bytes) -> tuple[Offsets, bool]:
        """Return the line feeds that end records, up to the first misplaced quote.

        The second value says whether the data is clean.
        """
        array = np.frombuffer(data, dtype=np.uint8)
        if not self.quote or self.quote not in data:
            return np.flatnonzero(array == _LINE_FEED), True
        quotes = np.flatnonzero(array == self._quote)
        limit, is_clean = self._first_misplaced(array, quotes)
        feeds = np.flatnonzero(array[:limit] == _LINE_FEED)
        return feeds[np.searchsorted(quotes, feeds) % 2 == 0], is_clean

    def _first_misplaced(self, array: npt.NDArray[np.uint8], quotes: Offsets) -> tuple[int, bool]:
        opening, closing = quotes[::2], quotes[1::2]
        before = opening[opening > 0]
        after = closing[closing + 1 < len(array)]
        wrong = [places[~self._neighbours[array[places + step]]][:1] for places, step in ((before, -1), (after, 1))]
        found = [int(places[0]) for places in wrong if len(places)]
        return (min(found), False) if found else (len(array), True)

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
                cells.append(match[1].replace(self.quote * 2, self.quote))
                at = match.end()
                end = self._plain.match(data, at).end()  # type: ignore[union-attr]
                if end > at:
                    problem = problem or f"has text after the closing quote of cell {len(cells)}"
                at = end
            else:
                match = self._plain.match(data, at)
                cells.append(match[0])  # type: ignore[index]
                at = match.end()  # type: ignore[union-attr]
            if at == len(data) or (data.endswith(b"\r") and at == len(data) - 1):
                # The line feed after a carriage return may follow in the next data.
                return Record(data[start:], tuple(cells), problem) if is_whole else None
            if data.startswith(self.delimiter, at):
                at += 1
                continue
            at += 2 if data.startswith(b"\r\n", at) else 1
            return Record(data[start:at], tuple(cells), problem)

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
    ends, is_clean = dialect.line_ends(data)
    if is_clean and ended and (not dialect.quote or data.count(dialect.quote) % 2 == 0):
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
