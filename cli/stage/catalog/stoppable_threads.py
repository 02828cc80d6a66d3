"""Calls of a function in threads, which end soon after the first error and after Ctrl-C."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from cli.failures import CommandError

A = TypeVar("A")
B = TypeVar("B")


def in_threads(function: Callable[[A, threading.Event], B], items: Iterable[A], threads: int) -> Iterator[B]:
    """Call the function for each item. Its event is set after the first error and after Ctrl-C."""
    stop = threading.Event()
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from pool.map(partial(_with_event, function, stop), items)
        except BaseException:
            # Queued items are not started, and running ones end at their next step.
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def check_stop(stop: threading.Event) -> None:
    """End a thread whose result nobody waits for.

    Raises:
        CommandError: when the event is set.
    """
    if stop.is_set():
        raise CommandError("The registration was interrupted. Run the command again to continue.")


def _with_event(function: Callable[[A, threading.Event], B], stop: threading.Event, item: A) -> B:
    check_stop(stop)
    return function(item, stop)
