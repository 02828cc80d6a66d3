"""Checkpoints of a training in rounds: one file each, whole or not there, and proven before it is used.

SageMaker copies the folder to S3 while the training runs and back before it goes on, so a file may be cut off: the
header has the digest of what follows.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from contract.codec import to_json
from contract.training.training_spec import TrainingSpec
from scoring.outputs.atomic_files import publish
from training.reporting import log_event

_SUFFIX = ".checkpoint"
_KEPT = 2
_NO_PART_OF_THE_MODEL = frozenset({"execution_id", "job_id", "version", "output_columns", "key_columns"})


@dataclass(frozen=True)
class Checkpoint:
    """A model after some rounds, with the held-out metric of each."""

    history: tuple[float, ...]
    model: bytes
    rounds: int


def fingerprint(spec: TrainingSpec, *facts: object) -> str:
    """Equal only for trainings that give the same model: another attempt of a job may go on from its checkpoints."""
    body = {name: value for name, value in to_json(spec).items() if name not in _NO_PART_OF_THE_MODEL}
    text = json.dumps([body, [str(fact) for fact in facts]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class CheckpointFolder:
    """The checkpoints of one training; those of another one are left alone."""

    def __init__(self, folder: Path, unfinished: Path, identity: str) -> None:
        self._folder = folder
        self._unfinished = unfinished
        self._identity = identity
        # In the name too: what another training left must not take the place of ours when old ones are removed.
        self._ending = f"-{identity[:12]}{_SUFFIX}"

    def newest(self) -> Checkpoint | None:
        """The latest whole checkpoint of this very training."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if not path.name.endswith(self._ending):
                reason = "it is of another training: other data, settings, threads or XGBoost"
                log_event("checkpoint_ignored", file=path.name, reason=reason)
        for path in self._own():
            found = self._read(path)
            if isinstance(found, Checkpoint):
                return found
            log_event("checkpoint_ignored", file=path.name, reason=found)
        return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; afterwards the older ones are removed but for one."""
        header = {
            "fingerprint": self._identity,
            "rounds": checkpoint.rounds,
            "history": checkpoint.history,
            "sha256": hashlib.sha256(checkpoint.model).hexdigest(),
        }
        self._unfinished.mkdir(parents=True, exist_ok=True)
        name = f"round-{checkpoint.rounds:06d}{self._ending}"
        beside = self._unfinished / name
        beside.write_bytes(json.dumps(header).encode() + b"\n" + checkpoint.model)
        publish(beside, self._folder / name)
        for old in self._own()[_KEPT:]:
            old.unlink(missing_ok=True)

    def _own(self) -> list[Path]:
        """This training's files, the latest first."""
        return sorted(self._folder.glob(f"round-*{self._ending}"), reverse=True)

    def _read(self, path: Path) -> Checkpoint | str:
        """A checkpoint, or why it cannot be used."""
        head, _, model = path.read_bytes().partition(b"\n")
        try:
            header = json.loads(head)
            identity, digest = header["fingerprint"], header["sha256"]
            checkpoint = Checkpoint(tuple(map(float, header["history"])), model, int(header["rounds"]))
        except (ValueError, KeyError, TypeError):
            return "it is cut off or no checkpoint"
        if hashlib.sha256(model).hexdigest() != digest:
            return "it is cut off"
        if identity != self._identity:
            return "it is of another training"
        return checkpoint
