"""The ledger's markers: put in place after all outputs of an object and model are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.codec import dumps
from contract.job.ledger import Marker
from contract.layout import marker_key
from scoring.outputs.atomic_files import Move, place, sync


@dataclass(frozen=True)
class Commit:
    """One model's outputs of an object and the marker that names them, finished and not yet in their places."""

    outputs: tuple[Move, ...]
    marker: Move


def prepare(ledger: Path, scratch: Path, marker: Marker, outputs: Sequence[Move]) -> Commit:
    """Write the marker of outputs that are finished."""
    unfinished = scratch / f"{marker.model_id}.marker"
    unfinished.write_text(dumps(marker), encoding="utf-8")
    return Commit(tuple(outputs), Move(unfinished, ledger / marker_key(marker.model_id, marker.object.key)))


def commit(prepared: Sequence[Commit]) -> None:
    """Put outputs in their places and then the markers, each complete or not at all.

    Whatever moment the machine goes down at, a marker that is there has its outputs. For all models of an object
    together: the disk is waited for three times, however many they are.
    """
    outputs = [move for each in prepared for move in each.outputs]
    markers = [each.marker for each in prepared]
    sync([move.finished for move in (*outputs, *markers)])
    place(outputs)
    place(markers)
