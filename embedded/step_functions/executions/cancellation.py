"""Cancellation of executions: a tree of tokens, one per execution, branch and task."""

import threading
from collections.abc import Callable


class CancelledError(Exception):
    """The execution or branch was stopped. Its Retry and Catch fields no longer apply."""


class Cancellation:
    """A token that is cancelled at most once, together with all tokens made from it."""

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
        """Raise CancelledError if the token is cancelled."""
        if self.event.is_set():
            raise CancelledError

    def on_cancel(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` on cancellation, or now if already cancelled.

        Return a function that removes the callback.
        """
        key = object()
        with self._lock:
            if not self.event.is_set():
                self._callbacks[key] = callback
                return lambda: self._forget(key)
        callback()
        return lambda: None

    def child(self) -> "Cancellation":
        """Return a token that is cancelled with this one and can also be cancelled alone.

        Call `close` on it when its work has ended.
        """
        token = _Child()
        token.detach = self.on_cancel(token.cancel)
        return token

    def close(self) -> None:
        """Detach the token from its parent, which otherwise keeps a reference to it."""

    def sleep(self, seconds: float) -> None:
        """Wait, and raise CancelledError as soon as the token is cancelled."""
        if self.event.wait(max(0.0, seconds)):
            raise CancelledError

    def _forget(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)


class _Child(Cancellation):
    detach: Callable[[], None]

    def close(self) -> None:
        self.detach()
