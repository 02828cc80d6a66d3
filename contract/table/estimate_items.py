"""Items with what executions have measured, from which plans estimate.

| question                              | how                                                      |
|---------------------------------------|----------------------------------------------------------|
| the rates of a model                  | get  pk=ESTIMATE#MODEL#<id>, sk=ESTIMATE                 |
| the bytes per row of a dataset        | get  pk=ESTIMATE#DATASET#<name>, sk=ESTIMATE             |
| start-up and transfer of all types    | query pk=ESTIMATE#INSTANCE                               |
| rates and loading of all formats      | query pk=ESTIMATE#FORMAT                                 |

An item has the newest samples per measure. The measure of a model or a format is the instance type
on which it was scored, and its samples are rows per second. A format has the time to load a model too.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from contract.planner.estimates import MAX_SAMPLES, SampleKind, Samples, class_key, model_key
from contract.table import records

ESTIMATE_PARTITIONS = "ESTIMATE#"
"""Prefix of the partition keys of estimates."""
_SORT_KEY = "ESTIMATE"
REVISION = "revision"
"""Attribute with the number of times that an item was written."""

_SMALLEST, _LARGEST = 1e-9, 1e15
"""Samples that are believed: plans divide by them."""

Subject = Literal["MODEL", "DATASET", "INSTANCE", "FORMAT"]
SHARED_PARTITIONS: tuple[Subject, ...] = ("INSTANCE", "FORMAT")
"""Subjects of which all items are in one partition, because there are few."""
DATASET_MEASURE: SampleKind = "bytes-per-row"
"""The only measure of a dataset."""
LOAD_MEASURE: SampleKind = "load"
"""Measure of a format that is not an instance type: seconds until one model is loaded."""


@dataclass(frozen=True)
class Measured:
    """A number that an execution has measured."""

    subject: Subject
    name: str
    """The model's id, the dataset, the instance type, or the format with its class of sizes."""
    measure: str
    """Kind of sample; the instance type for models and formats."""
    value: float
    source: str
    """The execution, and if there are several samples of it the sample's number: a sample counts once."""
    at: str
    """Start of the execution: ISO 8601 in UTC."""


@dataclass(frozen=True)
class EstimateRecord:
    """The newest samples of one subject."""

    subject: Subject
    name: str
    samples: Mapping[str, tuple[str, ...]]
    """By measure: the newest first, each as "<value> <time> <source>"."""
    revision: int = 0

    def values(self, measure: str) -> tuple[float, ...]:
        """Return the samples of a measure, the newest first, without those that nothing can take or do."""
        found = (_value(sample) for sample in self.samples.get(measure, ()))
        return tuple(value for value in found if _SMALLEST <= value <= _LARGEST)


def estimate_key(subject: Subject, name: str) -> dict[str, str]:
    """Return the key of a subject's item."""
    if subject in SHARED_PARTITIONS:
        return {records.PARTITION_KEY: f"{ESTIMATE_PARTITIONS}{subject}", records.SORT_KEY: name}
    return {records.PARTITION_KEY: f"{ESTIMATE_PARTITIONS}{subject}#{name}", records.SORT_KEY: _SORT_KEY}


def estimate_item(record: EstimateRecord, expires_at: int) -> dict[str, Any]:
    """Return the item of a record, with its time of expiry in epoch seconds."""
    return records.record_item(record, estimate_key(record.subject, record.name), expires_at)


def add_measured(record: EstimateRecord, found: Iterable[Measured]) -> EstimateRecord:
    """Return the record with more samples of its subject, reduced to the newest; the same if it has them.

    >>> sample = Measured("MODEL", "m", "ml.m5.large", 1234.5678, "nightly-1", "2026-12-01T02:00:00.000Z")
    >>> added = add_measured(EstimateRecord("MODEL", "m", {}), [sample])
    >>> added.samples
    {'ml.m5.large': ('1234.57 2026-12-01T02:00:00.000Z nightly-1',)}
    >>> add_measured(added, [sample]) is added
    True
    """
    samples = dict(record.samples)
    for each in found:
        known = samples.get(each.measure, ())
        if all(sample.split(" ", 2)[1:] != [each.at, each.source] for sample in known):
            all_samples = [*known, f"{each.value:.6g} {each.at} {each.source}"]
            newest = sorted(all_samples, key=lambda sample: sample.split(" ", 2)[1:], reverse=True)
            samples[each.measure] = tuple(newest[:MAX_SAMPLES])
    return record if samples == record.samples else replace(record, samples=samples)


def samples_of(found: Iterable[EstimateRecord]) -> Samples:
    """Return the samples of records as the planner takes them."""
    by_kind: dict[SampleKind, dict[str, tuple[float, ...]]] = {}
    for record in found:
        for measure in record.samples:
            kind, key = _kind_and_key(record, measure)
            values = record.values(measure)
            if kind is not None and values:
                by_kind.setdefault(kind, {})[key] = values
    return Samples(by_kind)


def _value(sample: str) -> float:
    try:
        return float(sample.partition(" ")[0])
    except ValueError:
        return math.nan


def _kind_and_key(record: EstimateRecord, measure: str) -> tuple[SampleKind | None, str]:
    """Return the planner's kind and key of a record's samples; no kind for a measure of a later release."""
    if record.subject == "MODEL":
        return "rows", model_key(record.name, measure)
    if record.subject == "FORMAT" and measure == LOAD_MEASURE:
        return LOAD_MEASURE, record.name
    if record.subject == "FORMAT":
        return "rows", class_key(record.name, measure)
    if record.subject == "DATASET":
        return DATASET_MEASURE, record.name
    kinds: dict[str, SampleKind] = {"startup": "startup", "download": "download", "upload": "upload"}
    return kinds.get(measure), record.name
