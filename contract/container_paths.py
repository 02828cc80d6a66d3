"""Every path under /opt/ml, and the names of the channels there. No other module builds one from text."""

import os
from pathlib import Path, PurePosixPath

from contract.environment import ML_ROOT
from contract.layout import SNAPSHOT_NAME
from contract.training_layout import SOURCE_NAME, TRAINING_SPEC_NAME


class ContainerPaths:
    """The folders of SageMaker Processing below /opt/ml.

    The environment variable `ML_ROOT` names another root for processes without their own /opt/ml:
    in tests, and in the embedded AWS on a machine without mount namespaces.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        processing = root / "processing"
        self.resource_config = root / "config" / "resourceconfig.json"
        self.exit_message = root / "output" / "message"
        self.spec = processing / "input" / "spec" / "job.json"
        self.snapshot = processing / "input" / "snapshot" / SNAPSHOT_NAME
        self.data = processing / "input" / "data"
        self.models = processing / "input" / "models"
        self.predictions = processing / "output" / "predictions"
        self.quarantine = processing / "output" / "quarantine"
        self.ledger = processing / "output" / "ledger"

    @classmethod
    def from_environment(cls) -> "ContainerPaths":
        return cls(_ml_root())


SPEC_CHANNEL = "spec"
TRAIN_CHANNEL = "train"
VALIDATION_CHANNEL = "validation"
CODE_CHANNEL = "code"
TRAINING_REPORT_NAME = "fleetscore.json"
"""File name of the `TrainingReport`, next to the model and so inside model.tar.gz."""
SCRIPT_METRICS_NAME = "metrics.json"
"""File name of the metrics that a training script may write next to its model."""


class TrainingPaths:
    """The folders of SageMaker training below /opt/ml, or below `ML_ROOT`: see `ContainerPaths`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        config = root / "input" / "config"
        self.hyperparameters = config / "hyperparameters.json"
        self.resource_config = config / "resourceconfig.json"
        self.input_data_config = config / "inputdataconfig.json"
        self.data = root / "input" / "data"
        self.spec = self.data / SPEC_CHANNEL / TRAINING_SPEC_NAME
        self.train = self.data / TRAIN_CHANNEL
        self.validation = self.data / VALIDATION_CHANNEL
        self.source = self.data / CODE_CHANNEL / SOURCE_NAME
        self.model = root / "model"
        self.report = self.model / TRAINING_REPORT_NAME
        self.script_metrics = self.model / SCRIPT_METRICS_NAME
        self.output = root / "output"
        self.failure = self.output / "failure"
        self.output_data = self.output / "data"
        self.checkpoints = root / "checkpoints"

    @classmethod
    def from_environment(cls) -> "TrainingPaths":
        return cls(_ml_root())


def _ml_root() -> Path:
    return Path(os.environ.get(ML_ROOT, "/opt/ml"))


PROCESSING_ROOT = PurePosixPath("/opt/ml/processing")


def container_path(*parts: str) -> str:
    """Return an absolute path below /opt/ml/processing, as a processing job's request needs it.

    >>> container_path("input", "spec")
    '/opt/ml/processing/input/spec'
    """
    return str(PROCESSING_ROOT.joinpath(*parts))
