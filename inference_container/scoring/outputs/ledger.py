"""Commits to the ledger: markers, put in place after all outputs that they name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.codec import dumps
from contract.job.ledger import Marker
from contract.layout import marker_key
from scoring.files.moves import FileMove, fsync_moves, move_into_place


@dataclass(frozen=True)
class PreparedCommit:
    """The finished outputs of one object and model, and their marker, before they are in place."""

    outputs: tuple[FileMove, ...]
    marker: FileMove


def prepare_commit(
    ledger: Path, unfinished: Path, marker: Marker, outputs: Sequence[FileMove], *, is_copied: bool = False
) -> PreparedCommit:
    """Write the marker of finished outputs to the file `unfinished`, to rename or copy it later."""
    unfinished.write_text(dumps(marker), encoding="utf-8")
    target = ledger / marker_key(marker.model_id, marker.object.key)
    return PreparedCommit(tuple(outputs), FileMove(unfinished, target, is_copied))


def commit(prepared: Sequence[PreparedCommit]) -> None:
    """Move outputs and then markers into place, each complete or not at all.

    If the machine crashes at any moment, every marker that exists has its outputs. Committing all
    models of an object together waits for the disk three times, whatever the number of models, or
    four times where the files must be copied.
    """
    outputs = [move for each in prepared for move in each.outputs]
    markers = [each.marker for each in prepared]
    fsync_moves([*outputs, *markers])
    move_into_place(outputs)
    move_into_place(markers)
