"""The compressed request of an ended job."""

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any


class PackedRequest(Mapping[str, Any]):
    """A request as compressed JSON, which is unpacked for each access: ended jobs are rarely looked at."""

    __slots__ = ("_packed",)

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._packed = zlib.compress(json.dumps(dict(request), separators=(",", ":")).encode())

    def unpacked(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(zlib.decompress(self._packed))
        return found

    def __getitem__(self, name: str) -> Any:
        return self.unpacked()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.unpacked())

    def __len__(self) -> int:
        return len(self.unpacked())
