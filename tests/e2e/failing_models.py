"""Models with faults, sent into the container by value: this module does not exist there."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

DEADLINE_SECONDS = 60


class Bomb:
    """Cannot score."""

    classes_ = (0, 1)

    def predict_proba(self, _features: Any) -> Any:
        raise ValueError("no such customer segment")


class Picky:
    """Raises when there is a visitor of `REFUSED_VISITS` among its rows."""

    REFUSED_VISITS = 999_999
    classes_ = (0, 1)

    def predict_proba(self, features: Any) -> Any:
        visits = np.asarray(features["visits"] if hasattr(features, "columns") else features[:, 1])
        if (visits == self.REFUSED_VISITS).any():
            raise ValueError("nobody visits so often")
        return np.full((len(features), 2), 0.5)


class Gate:
    """Scores once a file of the test exists, and says by another file that it waits."""

    classes_ = (0, 1)

    def __init__(self, folder: Path) -> None:
        self.waiting = str(folder / "waiting")
        self.open = str(folder / "open")

    def predict_proba(self, features: Any) -> Any:
        Path(self.waiting).touch()
        _wait_for(lambda: Path(self.open).exists())
        return np.full((len(features), 2), 0.5)


class KilledOnce:
    """Its instance is killed at the first object that has a visitor of `FATAL_VISITS`, once another one is committed.

    Not its worker alone: the container would try the object again with another one.
    """

    FATAL_VISITS = 999_999
    classes_ = (0, 1)

    def __init__(self, folder: Path) -> None:
        self.killed = str(folder / "killed")

    def predict_proba(self, features: Any) -> Any:
        visits = np.asarray(features["visits"] if hasattr(features, "columns") else features[:, 1])
        if (visits == self.FATAL_VISITS).any() and not Path(self.killed).exists():
            root = Path(os.environ.get("FLEETSCORE_ML_ROOT", "/opt/ml"))
            _wait_for(lambda: any((root / "processing/output/ledger").rglob("*.json")))
            Path(self.killed).touch()
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full((len(features), 2), 0.5)


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the test did not do its part")
        time.sleep(0.02)
