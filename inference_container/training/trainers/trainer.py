"""What a trainer gets, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contract.catalog.model_spec import ModelSpec
from contract.layout import TrainingPaths
from contract.training.training_spec import TrainingSpec
from scoring.columns.features import FeatureBatch
from training.data.channel_files import Source
from training.interruption import Interruption

_VALUES_A_THREAD = 1_000_000


@dataclass(frozen=True)
class Assignment:
    """One training: its spec, its data on disk, and the means."""

    spec: TrainingSpec
    record: ModelSpec
    train: tuple[Source, ...]
    validation: tuple[Source, ...]
    paths: TrainingPaths
    cores: int
    interruption: Interruption

    @property
    def model_path(self) -> Path:
        return self.paths.model / self.spec.model_file


@dataclass(frozen=True)
class Outcome:
    """A model that lies in the model folder, and what is known about it."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    rows_trained: int | None = None
    rows_held_out: int | None = None
    best_iteration: int | None = None
    resumed_from: int | None = None
    sample: FeatureBatch | None = None
    """Rows that the model must be able to predict."""


def threads_for(rows: int, features: int, cores: int) -> int:
    """Threads that so much data keeps busy. Small trainings run beside many others, where idle threads only spin."""
    return max(1, min(cores, rows * features // _VALUES_A_THREAD))
