"""Models that fail on purpose.

They are pickled by value, because the container does not have this module.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

DEADLINE_SECONDS = 300
"""Long enough for a deployment on a busy machine, for which a test lets a model wait."""


class AlwaysFails:
    """A model that raises on every batch."""

    classes_ = (0, 1)

    def predict_proba(self, _features: Any) -> Any:
        raise ValueError("no such customer segment")


class RefusesOneRow:
    """A model that raises when a row of the batch has `REFUSED_VISITS`."""

    REFUSED_VISITS = 999_999
    classes_ = (0, 1)

    def predict_proba(self, features: Any) -> Any:
        visits = np.asarray(features["visits"] if hasattr(features, "columns") else features[:, 1])
        if (visits == self.REFUSED_VISITS).any():
            raise ValueError("nobody visits so often")
        return np.full((len(features), 2), 0.5)


class QuotesValues:
    """A model that raises, and quotes what it cannot predict."""

    QUOTED_VISITS = 987_065_321
    classes_ = (0, 1)

    def predict_proba(self, features: Any) -> Any:
        visits = np.asarray(features["visits"] if hasattr(features, "columns") else features[:, 1])
        for value in visits.tolist():
            if value == self.QUOTED_VISITS:
                raise ValueError(f"could not predict for {int(value)} visits")
        return np.full((len(features), 2), 0.5)


class Gate:
    """A model that creates the file `waiting`, then waits for the file `open` before it scores."""

    classes_ = (0, 1)

    def __init__(self, folder: Path) -> None:
        self.waiting = str(folder / "waiting")
        self.open = str(folder / "open")

    def predict_proba(self, features: Any) -> Any:
        Path(self.waiting).touch()
        _wait_for(lambda: Path(self.open).exists())
        return np.full((len(features), 2), 0.5)


class NeedsSmallBatches:
    """A model whose process is killed for batches of more rows than fit, as if memory ran out.

    A worker is tried again with an eighth of the rows, twice. So the first attempt fails even with 1,024
    rows per batch.
    """

    FITTING_ROWS = 1_000
    classes_ = (0, 1)

    def predict_proba(self, features: Any) -> Any:
        if len(features) > self.FITTING_ROWS:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full((len(features), 2), 0.5)


class NeverEnds:
    """A model that scores nothing before the test has ended it."""

    classes_ = (0, 1)

    def predict_proba(self, _features: Any) -> Any:
        time.sleep(DEADLINE_SECONDS)
        raise TimeoutError("nobody has ended the model")


class WaitsToBeKilled:
    """A model that waits once at a fatal row, after another object is committed.

    The test kills the instance then: model code cannot kill the process that supervises it.
    """

    FATAL_VISITS = 999_999
    classes_ = (0, 1)

    def __init__(self, folder: Path) -> None:
        self.waiting = str(folder / "waiting")

    def predict_proba(self, features: Any) -> Any:
        visits = np.asarray(features["visits"] if hasattr(features, "columns") else features[:, 1])
        if (visits == self.FATAL_VISITS).any() and not Path(self.waiting).exists():
            root = Path(os.environ.get("FLEETSCORE_ML_ROOT", "/opt/ml"))
            ledgers = [root / "processing/output/ledger", root / "checkpoints/ledger"]
            _wait_for(lambda: any(path for ledger in ledgers for path in ledger.rglob("*.jsonl")))
            Path(self.waiting).touch()
            time.sleep(DEADLINE_SECONDS)
        return np.full((len(features), 2), 0.5)


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not become true in time")
        time.sleep(0.02)
