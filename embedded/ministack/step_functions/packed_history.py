"""The history of an execution that has ended, in a tenth of the memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, overload

Event = dict[str, Any]


class PackedHistory(Sequence[Event]):
    """The compressed events of an execution. They are read seldom, and never changed here."""

    __slots__ = ("_count", "_packed")

    def __init__(self, events: Sequence[Event]) -> None:
        self._count = len(events)
        self._packed = zlib.compress(json.dumps(events).encode(), 1)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events())

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self._events()[index]

    def _events(self) -> list[Event]:
        found: list[Event] = json.loads(zlib.decompress(self._packed))
        return found
