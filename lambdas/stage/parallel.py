"""Many small calls to AWS at once: they wait for the network, so threads are enough."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

THREADS = 32
_AT_ONCE = 2_000
"""Calls that are queued at a time, so that a large plan never lies in memory as a whole."""

A = TypeVar("A")
B = TypeVar("B")


def in_parallel(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """The results of `function` in the order of `items`; the first error ends it."""
    remaining = iter(items)
    with ThreadPoolExecutor(THREADS) as threads:
        while some := list(islice(remaining, _AT_ONCE)):
            yield from threads.map(function, some)
