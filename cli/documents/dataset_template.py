"""Templates of dataset names: the datasets of a period, and the names of their executions."""

import hashlib
import re
import string
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from contract.names import NEW_EXECUTION_NAME, check_dataset_name
from contract.problems import InvalidInputError, Problem

STEPS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
"""Period that a dataset covers, by name."""
MAX_DATASETS = 10_000
"""Most datasets of one backfill."""
MAX_EXECUTIONS_PER_DATASET = 99
"""Largest number at the end of an execution's name."""
_FORMATS = {"date": "%Y-%m-%d", "year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "week": "%G-w%V"}
"""strftime formats by placeholder."""
_SUFFIXES = {"hour": "%Y%m%dT%H", "day": "%Y%m%d", "week": "%Y%m%d"}
"""strftime formats of the end of an execution's name, by period."""


@dataclass(frozen=True)
class Slot:
    """One dataset of a backfill, and the name of its execution."""

    dataset: str
    execution_id: str
    """Name of the first execution. Later ones for the same dataset end in `-2`, `-3`, …"""


def expand(template: str, since: datetime, until: datetime, every: str, name: str | None = None) -> list[Slot]:
    """Return the datasets between two times, both included, with the names of their executions.

    The same arguments always give the same names.

    Raises:
        InvalidInputError: with every problem of template, times and name.
    """
    problems = _check_template(template, every)
    if until < since:
        problems.append(Problem("to", f"{until:%Y-%m-%dT%H}", f"{since:%Y-%m-%dT%H}, the value of --from, or later"))
    base = name or _base_name(template)
    count = (until - since) // STEPS[every] + 1
    if count > MAX_DATASETS:
        problems.append(Problem("to", f"{until:%Y-%m-%dT%H}", f"at most {MAX_DATASETS:,} datasets, not {count:,}"))
    if problems:
        raise InvalidInputError("backfill", problems)
    slots = []
    for moment in (since + index * STEPS[every] for index in range(count)):
        dataset = template.format(**{field: moment.strftime(form) for field, form in _FORMATS.items()})
        execution_id = f"{base}-{moment.strftime(_SUFFIXES[every])}"
        problems += check_dataset_name("dataset", dataset)
        if not NEW_EXECUTION_NAME.accepts(f"{execution_id}-{MAX_EXECUTIONS_PER_DATASET}"):
            problems.append(Problem("name", base, "letters, digits, '-' and '_', at most 60"))
        slots.append(Slot(dataset, execution_id))
        if problems:
            raise InvalidInputError("backfill", problems)
    if len({slot.dataset for slot in slots}) < len(slots):
        expected = f"a placeholder that differs from one {every} to the next, such as {{date}}"
        raise InvalidInputError("backfill", [Problem("dataset", template, expected)])
    return slots


def read_time(field: str, text: str) -> datetime:
    """Return the time of a date, or of a date and hour, in UTC.

    Raises:
        InvalidInputError: when the text has another form.
    """
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H", "%Y-%m-%dT%H:00"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise InvalidInputError(
        "backfill", [Problem(field, text, "a date such as 2026-01-31, or 2026-01-31T06 with hours")]
    )


def _check_template(template: str, every: str) -> list[Problem]:
    known = ", ".join(f"{{{name}}}" for name in _FORMATS)
    try:
        fields = [field for _, field, spec, conversion in string.Formatter().parse(template) if field is not None]
        plain = all(not spec and not conversion for _, _, spec, conversion in string.Formatter().parse(template))
    except ValueError:
        return [Problem("dataset", template, f"a dataset's name with {known}")]
    if not fields or not plain or set(fields) - set(_FORMATS):
        return [Problem("dataset", template, f"a dataset's name with at least one of {known}")]
    if every == "hour" and "hour" not in fields:
        return [Problem("dataset", template, "a name with {hour}, because there is one dataset per hour")]
    return []


def _base_name(template: str) -> str:
    """Return a name for a template, with a digest that makes names of similar templates differ."""
    words = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\{[^}]*\}", "", template.lower())).strip("-")
    return f"backfill-{words[:30]}-{hashlib.sha256(template.encode()).hexdigest()[:6]}"
