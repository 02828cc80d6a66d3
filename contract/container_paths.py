"""Every path under /opt/ml, and the names of the channels there. No other module builds one from text."""

import os
from pathlib import Path, PurePosixPath

from contract.environment import ML_ROOT, SCORES_IN_TRAINING_JOB
from contract.layout import SNAPSHOT_NAME
from contract.spot_layout import LEDGER_FOLDER, PREDICTIONS_FOLDER, QUARANTINE_FOLDER
from contract.training_layout import SOURCE_NAME, TRAINING_SPEC_NAME

CHECKPOINTS = "checkpoints"


SCORING_CHANNELS = ("spec", "snapshot", "data", "models")
"""Inputs of a scoring job: folders below /opt/ml/processing/input, or channels of a training job."""


class ContainerPaths:
    """The folders of a scoring job below /opt/ml.

    They are those of SageMaker Processing, or of a training job that scores. The environment variable
    `ML_ROOT` names another root for processes without their own /opt/ml: in tests, and in the embedded
    AWS on a machine without mount namespaces.
    """

    def __init__(self, root: Path, *, in_training_job: bool = False) -> None:
        self.root = root
        self.in_training_job = in_training_job
        if in_training_job:
            inputs, outputs = root / "input" / "data", root / CHECKPOINTS
            self.resource_config = root / "input" / "config" / "resourceconfig.json"
            self.exit_message = root / "output" / "failure"
        else:
            inputs, outputs = root / "processing" / "input", root / "processing" / "output"
            self.resource_config = root / "config" / "resourceconfig.json"
            self.exit_message = root / "output" / "message"
        spec, snapshot, data, models = (inputs / channel for channel in SCORING_CHANNELS)
        self.spec = spec / "job.json"
        self.snapshot = snapshot / SNAPSHOT_NAME
        self.data = data
        self.models = models
        # Of a training job, SageMaker uploads them while it runs, and restores them after an interruption.
        self.predictions = outputs / PREDICTIONS_FOLDER
        self.quarantine = outputs / QUARANTINE_FOLDER
        self.ledger = outputs / LEDGER_FOLDER

    @property
    def scratch_parents(self) -> tuple[Path, ...]:
        """Folders below which unfinished work may be, because nothing is uploaded from there."""
        outputs = self.root if self.in_training_job else self.predictions.parent
        return (outputs, self.models, self.spec.parent, self.data, self.root)

    @classmethod
    def from_environment(cls) -> "ContainerPaths":
        return cls(_ml_root(), in_training_job=scores_in_training_job())


def scores_in_training_job() -> bool:
    """Return whether this container is that of a training job that scores."""
    return os.environ.get(SCORES_IN_TRAINING_JOB) == "1"


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
        self.checkpoints = root / CHECKPOINTS

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
