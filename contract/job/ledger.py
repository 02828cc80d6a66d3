"""The ledger: one commit marker per object and model, written after the outputs are complete.

SageMaker uploads outputs in no particular order. So a marker lists its outputs with size and
digest, and verification finds a marker whose outputs did not arrive.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.job.scoring_spec import PinnedObject
from contract.layout import OutputKind
from contract.problems import InvalidInputError, Problem


@dataclass(frozen=True)
class OutputFile:
    """One file of the job's output; `key` is relative to the job's own prefix of this kind:
    see `layout.output_key`."""

    kind: OutputKind
    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class KeyReport:
    """How well an object's key columns identify its rows: repeated keys and nulls."""

    rows: int
    """Rows that were examined. The number is limited to bound memory, so it may be less than all
    rows."""
    duplicates: int
    """Rows with the same key as an earlier row."""
    nulls: int
    """Rows with a null in at least one key column; these are not compared."""


@dataclass(frozen=True)
class Marker:
    """Commit of an object for one model. `rows_in` is always `rows_scored + rows_quarantined`."""

    execution_id: str
    job_id: str
    model_id: str
    model_version: str
    object: PinnedObject
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    outputs: tuple[OutputFile, ...]
    writer: str = ""
    """How the predictions were written, and why, if there was a choice of writers."""
    keys: KeyReport | None = None
    """None if the model's record names no key columns."""
    notes: tuple[str, ...] = ()
    """Notes for people: how the model was loaded (library warnings, an accelerator, custom code), and
    how columns were read that could be read in two ways."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Further such notes, each with the number of values that it is about."""

    def __post_init__(self) -> None:
        if self.rows_in != self.rows_scored + self.rows_quarantined or min(self.rows_scored, self.rows_quarantined) < 0:
            value = f"{self.rows_in} != {self.rows_scored} + {self.rows_quarantined}"
            expected = "rows_in = rows_scored + rows_quarantined"
            raise InvalidInputError("Marker", [Problem("rows_in", value, expected)])
