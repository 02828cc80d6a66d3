"""Stopping what runs: a tree of tokens, one an execution, branch and task."""

import threading
from collections.abc import Callable


class CancelledError(Exception):
    """The execution or branch was stopped; no Retry or Catch of it applies any more."""


class Cancellation:
    """Set once; setting it sets all tokens made from it, now or later."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[object, Callable[[], object]] = {}

    def cancel(self) -> None:
        with self._lock:
            if self.event.is_set():
                return
            self.event.set()
            callbacks, self._callbacks = list(self._callbacks.values()), {}
        for callback in callbacks:
            callback()

    @property
    def is_set(self) -> bool:
        return self.event.is_set()

    def check(self) -> None:
        if self.event.is_set():
            raise CancelledError

    def on_cancel(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` when cancelled, at once if it already is; returns what takes the callback back."""
        key = object()
        with self._lock:
            if not self.event.is_set():
                self._callbacks[key] = callback
                return lambda: self._forget(key)
        callback()
        return lambda: None

    def child(self) -> "Cancellation":
        """A token that is cancelled with this one and can be cancelled alone; `close` it when its work has ended."""
        token = _Child()
        token.detach = self.on_cancel(token.cancel)
        return token

    def close(self) -> None:
        """Its work has ended: the parent forgets it."""

    def sleep(self, seconds: float) -> None:
        if self.event.wait(max(0.0, seconds)):
            raise CancelledError

    def _forget(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)


class _Child(Cancellation):
    detach: Callable[[], None]

    def close(self) -> None:
        self.detach()
