"""Many small AWS calls in parallel. They wait for the network, so threads are enough."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

THREADS = 32
_QUEUED_CALLS = 2_000
"""Maximum number of queued calls, so that a large plan is never in memory as a whole."""

A = TypeVar("A")
B = TypeVar("B")


def in_parallel(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Yield the results of `function` in the order of `items`; raise the first error."""
    remaining = iter(items)
    with ThreadPoolExecutor(THREADS) as threads:
        while queued := list(islice(remaining, _QUEUED_CALLS)):
            yield from threads.map(function, queued) if len(queued) > 1 else map(function, queued)
