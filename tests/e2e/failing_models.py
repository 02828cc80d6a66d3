"""Models that fail on purpose.

Classes are pickled by value, because the container does not have this module. Where the exception's text and
Python do not matter, use a graph: a job loads one in half the processor time.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

DEADLINE_SECONDS = 300
"""Long enough for a deployment on a busy machine, for which a test lets a model wait."""


def refusing_graph() -> bytes:
    """Return an ONNX graph that raises when a row of the batch has `RefusesOneRow.REFUSED_VISITS`."""
    return _graph("Equal", column=1, value=RefusesOneRow.REFUSED_VISITS)


def failing_graph() -> bytes:
    """Return an ONNX graph that raises on every batch of people, who all have an age above -1,000."""
    return _graph("Greater", column=0, value=-1_000)


def _graph(comparison: str, *, column: int, value: float) -> bytes:
    """Return a graph that scores 0.5 twice per row, and raises for a batch with a row that meets the comparison."""
    info, constant, node = helper.make_tensor_value_info, helper.make_tensor, helper.make_node
    nodes = [
        node("Gather", ["x", "column"], ["values"], axis=1),
        node(comparison, ["values", "value"], ["is_met"]),
        node("Cast", ["is_met"], ["index"], to=TensorProto.INT64),
        # There is a score at index 0 only, and ONNX Runtime refuses other indexes.
        node("Gather", ["scores", "index"], ["score"], axis=0),
    ]
    constants = [
        constant("column", TensorProto.INT64, [], [column]),
        constant("value", TensorProto.DOUBLE, [], [float(value)]),
        constant("scores", TensorProto.FLOAT, [1, 2], [0.5, 0.5]),
    ]
    inputs, outputs = [info("x", TensorProto.DOUBLE, [None, 3])], [info("score", TensorProto.FLOAT, [None, 2])]
    graph = helper.make_graph(nodes, "failing", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    body: bytes = made.SerializeToString()
    return body


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
