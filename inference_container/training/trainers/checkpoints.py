"""Checkpoints of a training in rounds: one file each, written atomically and verified before use.

SageMaker copies the folder to S3 during the training, and back before the training resumes. A file
may be cut off on the way, so its header has the SHA-256 digest of the rest.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from contract.codec import to_json
from contract.json_text import parse_json
from contract.training.training_spec import TrainingSpec
from scoring.files.new_file import new_file
from scoring.job_log.events import log_event

_SUFFIX = ".checkpoint"
_KEPT = 2
"""Number of latest checkpoints to keep."""
_IRRELEVANT_FIELDS = frozenset({"execution_id", "job_id", "version", "output_columns", "key_columns"})
"""Fields of the spec that do not affect the model."""


@dataclass(frozen=True)
class Checkpoint:
    """A model after `rounds` rounds, with the held-out metric of each round."""

    history: tuple[float, ...]
    model: bytes
    rounds: int


def fingerprint(spec: TrainingSpec, *facts: object) -> str:
    """Return a digest that is equal only for trainings that give the same model.

    An attempt resumes only from checkpoints with its own fingerprint.
    """
    body = {name: value for name, value in to_json(spec).items() if name not in _IRRELEVANT_FIELDS}
    text = json.dumps([body, [str(fact) for fact in facts]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class CheckpointFolder:
    """The checkpoints of one training; those of other trainings are never touched."""

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self._identity = identity
        # In the file name, so that checkpoints of another training are never counted or removed.
        self._ending = f"-{identity[:12]}{_SUFFIX}"

    def newest(self) -> Checkpoint | None:
        """Return the latest complete checkpoint of this training; None if there is none."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if not path.name.endswith(self._ending):
                reason = "it belongs to another training: other data, settings, threads or XGBoost"
                log_event("checkpoint_ignored", file=path.name, reason=reason)
        for path in self._own():
            found = self._read(path)
            if isinstance(found, Checkpoint):
                return found
            log_event("checkpoint_ignored", file=path.name, reason=found)
        return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove all older ones except the latest."""
        header = {
            "fingerprint": self._identity,
            "rounds": checkpoint.rounds,
            "history": checkpoint.history,
            "sha256": hashlib.sha256(checkpoint.model).hexdigest(),
        }
        with new_file(self._folder / f"round-{checkpoint.rounds:06d}{self._ending}") as file:
            file.write(json.dumps(header).encode() + b"\n" + checkpoint.model)
        for old in self._own()[_KEPT:]:
            old.unlink(missing_ok=True)

    def _own(self) -> list[Path]:
        """Return this training's files, latest first."""
        return sorted(self._folder.glob(f"round-*{self._ending}"), reverse=True)

    def _read(self, path: Path) -> Checkpoint | str:
        """Return the checkpoint in a file, or the reason why it cannot be used."""
        head, _, model = path.read_bytes().partition(b"\n")
        try:
            header = parse_json(head)
            identity, digest = header["fingerprint"], header["sha256"]
            checkpoint = Checkpoint(tuple(map(float, header["history"])), model, int(header["rounds"]))
        except (ValueError, KeyError, TypeError):
            return "it is truncated or not a checkpoint"
        if hashlib.sha256(model).hexdigest() != digest:
            return "it is truncated"
        if identity != self._identity:
            return "it belongs to another training"
        return checkpoint
