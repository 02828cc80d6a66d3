"""Reads that are repeated while AWS throttles them, fails or cannot be reached."""

import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from cli.failures import is_temporary, temporary_cause

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 120.0

T = TypeVar("T")


class PatientReads:
    """Repeats a read until it succeeds or its error is final, with pauses that double up to two minutes.

    AWS SDKs retry for some seconds. A command that follows an execution for hours must outlast more.
    """

    def __init__(self, notice: Callable[[str], None], pause: Callable[[float], object] = time.sleep) -> None:
        """`notice` gets a line before each pause, and `pause` waits for some seconds."""
        self._notice = notice
        self._pause = pause

    def read(self, call: Callable[[], T]) -> T:
        """Return what the call returns.

        Raises:
            ClientError: the error is final, such as a missing permission.
            BotoCoreError: the same.
        """
        seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                return call()
            except (ClientError, BotoCoreError) as error:
                if not is_temporary(error):
                    raise
                cause = temporary_cause(error)
                self._notice(f"{cause}. The next try is in {seconds:,.0f} seconds; Ctrl-C ends waiting.")
                self._pause(seconds)
                seconds = min(2 * seconds, LONGEST_PAUSE_SECONDS)
