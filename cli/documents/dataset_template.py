"""Templates of dataset names: the datasets of a time span, and the names of their executions."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import islice

from contract.names import NEW_EXECUTION_NAME, check_dataset_name
from contract.problems import InvalidInputError, Problem
from contract.triggers.slots import Period, Span, check_template, fill, slot_stamp, slots

MAX_DATASETS = 10_000
"""Maximum number of datasets of one backfill."""
MAX_EXECUTIONS_PER_DATASET = 99
"""Largest number at the end of an execution's name."""


@dataclass(frozen=True)
class Slot:
    """One dataset of a backfill, and the name of its execution."""

    dataset: str
    execution_id: str
    """Name of the first execution. Later ones for the same dataset end in `-2`, `-3`, …"""


def expand(
    template: str, since: Span, until: Span, every: Period, name: str | None = None, *, zone: tzinfo = UTC
) -> list[Slot]:
    """Return the datasets of all periods between two times, both included, with the names of their executions.

    A period that lies only partly between them is included. The same arguments always give the same
    names.

    Raises:
        InvalidInputError: with every problem of template, times and name.
    """
    problems = check_template("dataset", template, every)
    if until.end <= since.start:
        expected = f"{since.start:%Y-%m-%dT%H}, the value of --from, or later"
        problems.append(Problem("to", f"{until.start:%Y-%m-%dT%H}", expected))
    starts = list(islice(slots(Span(since.start, until.end), every, zone), MAX_DATASETS + 1))
    if len(starts) > MAX_DATASETS:
        remedy = "Choose a shorter time, and run the command several times."
        problems.append(Problem("to", f"{until.start:%Y-%m-%dT%H}", f"at most {MAX_DATASETS:,} datasets", remedy))
    if problems:
        raise InvalidInputError("backfill", problems)
    base = name or _base_name(template)
    found = []
    for start in starts:
        dataset, execution_id = fill(template, start), f"{base}-{slot_stamp(start, every)}"
        problems += check_dataset_name("dataset", dataset)
        if not NEW_EXECUTION_NAME.accepts(f"{execution_id}-{MAX_EXECUTIONS_PER_DATASET}"):
            problems.append(Problem("name", base, "letters, digits, '-' and '_', at most 60"))
        found.append(Slot(dataset, execution_id))
        if problems:
            raise InvalidInputError("backfill", problems)
    if len({slot.dataset for slot in found}) < len(found):
        expected = f"placeholders that differ from one {every} to the next, such as {{date}}"
        raise InvalidInputError("backfill", [Problem("dataset", template, expected)])
    return found


def _base_name(template: str) -> str:
    """Return a name for a template, with a digest that makes names of similar templates differ."""
    words = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\{[^}]*\}", "", template.lower())).strip("-")
    return f"backfill-{words[:30]}-{hashlib.sha256(template.encode()).hexdigest()[:6]}"
