"""The ledger: one commit marker an object and model, written after its outputs are complete.

Outputs are uploaded in no order, so a marker names its outputs with bytes and digest: a marker whose data did not
arrive is found out.
"""

from dataclasses import dataclass
from typing import Literal

from contract.job.scoring_spec import PinnedObject
from contract.problems import InvalidInputError, Problem


@dataclass(frozen=True)
class OutputFile:
    """One file of the job's output; `key` is relative to `predictions/` or `quarantine/`, as `kind` says."""

    kind: Literal["predictions", "quarantine"]
    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class KeyReport:
    """What an object's key columns are worth for joining: rows that share a key with an earlier one, and nulls."""

    rows: int
    """Rows that were looked at: all, or the first so many, so that memory stays bounded."""
    duplicates: int
    nulls: int
    """Rows with a null in at least one key column; these are not compared."""


@dataclass(frozen=True)
class Marker:
    """An object's commit for one model. Always `rows_in = rows_scored + rows_quarantined`."""

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
    """How the predictions were written, and why so where there was a choice."""
    keys: KeyReport | None = None
    """None: the model's record names no key columns."""
    notes: tuple[str, ...] = ()
    """What people must know of how the model was loaded: its library's warnings, an accelerator, code that ran."""

    def __post_init__(self) -> None:
        if self.rows_in != self.rows_scored + self.rows_quarantined or min(self.rows_scored, self.rows_quarantined) < 0:
            value = f"{self.rows_in} != {self.rows_scored} + {self.rows_quarantined}"
            expected = "rows_in = rows_scored + rows_quarantined"
            raise InvalidInputError("Marker", [Problem("rows_in", value, expected)])
