"""SIGTERM in a training: a spot instance that is taken back, a stop or a time limit; SIGKILL follows in two minutes."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from scoring.errors import TransientError

EXIT_CODE = 128 + signal.SIGTERM


class InterruptedTrainingError(TransientError):
    """The service asked the training to end before it was done."""


class Interruption:
    """Whether the end was asked for, and what is done about it at that moment.

    By default a flag goes up, and whoever trains calls `check` where it can stop: a signal handler that raises inside
    of XGBoost's callbacks would be lost. `react` names something to do at once instead.
    """

    def __init__(self) -> None:
        self.signal_name = ""
        self.saved = ""
        """What of the training is kept, for the message."""
        self._reaction: Callable[[], object] | None = None

    @property
    def requested(self) -> bool:
        return bool(self.signal_name)

    def check(self) -> None:
        """Raises InterruptedTrainingError when the end was asked for."""
        if self.requested:
            raise self.error()

    def error(self) -> InterruptedTrainingError:
        kept = self.saved or "nothing is kept, the next attempt begins anew"
        return InterruptedTrainingError(
            f"the container got {self.signal_name} before the training was done (a spot instance that was taken back, "
            f"a stop, or the time limit); {kept}"
        )

    @contextmanager
    def react(self, reaction: Callable[[], object]) -> Iterator[None]:
        """Call `reaction` in the main thread as soon as the signal comes, or now when it has come before."""
        self._reaction = reaction
        try:
            if self.requested:
                reaction()
            yield
        finally:
            self._reaction = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Listen for SIGTERM and SIGINT; once is enough, a second one changes nothing."""

        def note(number: int, _: FrameType | None) -> None:
            if not self.requested:
                self.signal_name = signal.Signals(number).name
                if self._reaction is not None:
                    self._reaction()

        before = {name: signal.signal(name, note) for name in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)
