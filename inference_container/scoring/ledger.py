"""The ledger's markers: written after all outputs of an object and model are in place."""

from pathlib import Path

from contract.codec import dumps
from contract.layout import marker_key
from contract.ledger import Marker
from scoring.output import publish


def commit(ledger: Path, scratch: Path, marker: Marker) -> None:
    """Write a marker, complete or not at all."""
    key = marker_key(marker.model_id, marker.object.key)
    unfinished = scratch / f"{marker.model_id}.marker"
    unfinished.write_text(dumps(marker), encoding="utf-8")
    publish(unfinished, ledger / key)
