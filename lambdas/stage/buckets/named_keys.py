"""Find the existing ones of many named keys in a bucket, with far fewer calls than keys.

Where wanted keys follow each other closely, one listing finds up to 1,000 of them. Where other keys
lie between them, each is looked up alone, because a listing would mostly return the others.

Measured with botocore on one core: a look-up takes 0.8 ms of CPU, a listing of 1,000 entries 80 ms.
So 100,000 adjacent keys take 400 calls and 10 s, and 100,000 scattered keys 80 s.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

_FIRST_PAGE, _MAX_PAGE = 10, 1_000
"""Entries of the first listing, and most entries that S3 returns. Reading 1,000 entries takes a
hundred times the CPU of a look-up."""
_DENSE = 0.1
"""Share of wanted entries in a listing above which another listing costs less than look-ups."""


class Entry(Protocol):
    @property
    def key(self) -> str: ...


E = TypeVar("E", bound=Entry)


def find_named(
    keys: Sequence[str], find: Callable[[str], E | None], list_after: Callable[[str, int], Sequence[E]]
) -> Iterator[E]:
    """Yield the entries with these keys. Missing keys are left out.

    Args:
        keys: Distinct keys in the order of the bucket.
        find: Returns the entry with exactly this key.
        list_after: Returns this many entries after a key, fewer only at the end of the bucket.
    """
    position = 0
    # Keys that are looked up alone before the next listing. Doubled while listings find too few.
    lookups = 1
    while position < len(keys):
        for key in keys[position : position + lookups]:
            if (found := find(key)) is not None:
                yield found
        position += lookups
        size = _FIRST_PAGE
        while position < len(keys):
            page = {entry.key: entry for entry in list_after(keys[position - 1], size)}
            is_last = len(page) < size
            end = b"" if is_last else order(next(reversed(page)))
            wanted = 0
            while position < len(keys) and (is_last or order(keys[position]) <= end):
                if (entry := page.get(keys[position])) is not None:
                    wanted += 1
                    yield entry
                position += 1
            if wanted < _DENSE * len(page):
                lookups *= 2
                break
            lookups = 1
            size = min(_MAX_PAGE, 10 * size)


def order(key: str) -> bytes:
    """Return the sort key of S3: the key's UTF-8 bytes."""
    return key.encode()
