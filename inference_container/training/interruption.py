"""Handles SIGTERM during a training.

SageMaker sends it when a spot instance is reclaimed, when the job is stopped, or at its time limit.
SIGKILL follows two minutes later.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from scoring.errors import TransientError

EXIT_CODE = 128 + signal.SIGTERM


class InterruptedTrainingError(TransientError):
    """SageMaker asked the training to end before it was done."""


class Interruption:
    """Whether a signal asked the training to end, and what happens then.

    By default a signal only sets a flag, and trainers call `check` where they can stop. If a
    handler raised an exception inside XGBoost's callbacks, the exception would be lost.
    `call_on_signal` registers a function that is called at once instead.
    """

    def __init__(self) -> None:
        self.signal_name = ""
        self.saved = ""
        """Text for the message about what the next attempt can use; empty if nothing is saved."""
        self._reaction: Callable[[], object] | None = None

    @property
    def requested(self) -> bool:
        return bool(self.signal_name)

    def check(self) -> None:
        """Raise InterruptedTrainingError if a signal has arrived."""
        if self.requested:
            raise self.error()

    def error(self) -> InterruptedTrainingError:
        kept = self.saved or "nothing is kept, the next attempt starts from the beginning"
        return InterruptedTrainingError(
            f"the container got {self.signal_name} before the training was done (a reclaimed spot instance, "
            f"a stop, or the time limit); {kept}"
        )

    @contextmanager
    def call_on_signal(self, reaction: Callable[[], object]) -> Iterator[None]:
        """Call `reaction` in the main thread when a signal comes, or at once if it already has."""
        self._reaction = reaction
        try:
            if self.requested:
                reaction()
            yield
        finally:
            self._reaction = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT; only the first signal counts."""

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
