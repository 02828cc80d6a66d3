"""The input and the result of every trainer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contract.catalog.model_spec import ModelSpec
from contract.container_paths import TrainingPaths
from contract.training.training_spec import TrainingSpec
from scoring.columns.features import FeatureBatch
from training.data.channel_files import Channel
from training.interruption import Interruption

_VALUES_PER_THREAD = 1_000_000
"""Feature values that keep one thread busy."""


@dataclass(frozen=True)
class TrainingContext:
    """One training: its spec, its data on disk, and the resources for it."""

    spec: TrainingSpec
    record: ModelSpec
    train: Channel
    validation: Channel
    paths: TrainingPaths
    scratch: Path
    """Folder for unfinished work. Nothing in it is uploaded, and it is deleted at the end."""
    cores: int
    interruption: Interruption

    @property
    def model_path(self) -> Path:
        return self.paths.model / self.spec.model_file


@dataclass(frozen=True)
class TrainingResult:
    """Facts about the model that a trainer saved in the model folder."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    rows_trained: int | None = None
    rows_held_out: int | None = None
    rarest_class_held_out: int | None = None
    """Held-out rows of the class that has the fewest. None for regressions and scripts."""
    best_iteration: int | None = None
    resumed_from: int | None = None
    sample: FeatureBatch | None = None
    """Rows that the model must be able to predict; None means it is only loaded."""
    checked_columns: tuple[str, ...] | None = None
    """Prediction columns of a model that the trainer has already checked; None if it has not."""


def threads_for(rows: int, features: int, cores: int) -> int:
    """Return how many threads the data keeps busy, at most `cores`.

    Small trainings share a machine with many others, where idle threads would only spin.
    """
    return max(1, min(cores, rows * features // _VALUES_PER_THREAD))
