"""Learn from a closed execution how long things take. Best effort: a closing never fails because of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from contract.planner.estimates import SampleKind
from contract.status import ExecutionKind, JobStatus
from contract.table.estimate_items import DATASET_MEASURE, LOAD_MEASURE, Measured, Subject
from contract.table.measurements import JobMeasurements
from contract.table.records import ExecutionRecord, JobRecord
from lambdas.stage.deployment import Deployment
from lambdas.stage.observability import logger

_MAX_SAMPLES = 5
"""Samples of start-ups and of downloads per execution and instance type. With all of a large
execution, its samples would replace those of all others."""
_SECONDS_TO_LEARN = 60.0
"""Time that must be left. 10,000 models take a few seconds."""

K = TypeVar("K")


def learn(
    record: ExecutionRecord, jobs: Sequence[JobRecord], deployment: Deployment, seconds_left: Callable[[], float]
) -> None:
    """Add what the execution's jobs and parts have measured to the estimates. Idempotent.

    Failures are logged only.
    """
    if seconds_left() < _SECONDS_TO_LEARN:
        logger.warning("there is no time left to learn from the execution")
        return
    try:
        changed = deployment.estimates.add(measured_by(record, jobs))
    except Exception:
        logger.exception("the estimates could not be updated")
    else:
        if changed:
            logger.info("the estimates are updated", items=changed)


def measured_by(record: ExecutionRecord, jobs: Iterable[JobRecord]) -> list[Measured]:
    """Return the samples of an execution: one per model and instance type, and per dataset and format.

    `jobs` are its jobs and parts of jobs. Only those that succeeded count.
    """
    done = [job for job in jobs if job.status is JobStatus.SUCCEEDED and job.kind is ExecutionKind.SCORING]
    measured = [(job, job.measured) for job in done if job.measured is not None and job.measured.instance_type]

    def sample(subject: Subject, name: str, measure: str, value: float, number: int | None = None) -> Measured:
        source = record.execution_id if number is None else f"{record.execution_id}/{number}"
        return Measured(subject, name, measure, value, source, record.started_at)

    found = [
        sample("INSTANCE", instance_type, measure, value, number)
        for (instance_type, measure), values in _of_instances(each for _, each in measured).items()
        for number, value in enumerate(spread(values, _MAX_SAMPLES))
    ]
    found += [
        sample("MODEL", model_id, instance_type, rate)
        for (model_id, instance_type), rate in _rates(_times_of_models(measured))
    ]
    found += [
        sample("FORMAT", name, instance_type, rate)
        for (name, instance_type), rate in _rates(_times_of_formats(measured))
    ]
    loads = ((each.name, each.load_seconds, float(each.loads)) for _, job in measured for each in job.formats)
    found += [sample("FORMAT", name, LOAD_MEASURE, seconds) for name, seconds in _rates(loads)]
    # A row of each model counts once in the bytes of the objects.
    sizes = ((job.dataset, float(job.input_bytes), job.rows_in / len(job.model_ids)) for job in done)
    return found + [sample("DATASET", dataset, DATASET_MEASURE, size) for dataset, size in _rates(sizes)]


def spread(values: Sequence[float], count: int) -> list[float]:
    """Return at most `count` of the values, from the smallest to the largest at equal distances.

    >>> spread([5.0, 1.0, 3.0, 2.0, 4.0], 3)
    [1.0, 3.0, 5.0]
    """
    ordered = sorted(values)
    if len(ordered) <= count:
        return ordered
    return [ordered[round(number * (len(ordered) - 1) / (count - 1))] for number in range(count)]


def _of_instances(measured: Iterable[JobMeasurements]) -> dict[tuple[str, SampleKind], list[float]]:
    """Return what was measured of the instances of each type, by kind of sample."""
    found: dict[tuple[str, SampleKind], list[float]] = {}
    for each in measured:
        if each.startup_seconds:
            found.setdefault((each.instance_type, "startup"), []).append(each.startup_seconds)
        if each.download_bytes_per_second:
            found.setdefault((each.instance_type, "download"), []).append(each.download_bytes_per_second)
    return found


def _times_of_models(
    measured: Iterable[tuple[JobRecord, JobMeasurements]],
) -> Iterator[tuple[tuple[str, str], float, float]]:
    """Yield rows and seconds by model and instance type."""
    for job, each in measured:
        rows = job.rows_in / len(job.model_ids)
        # Empty when nothing is known.
        for model_id, seconds in zip(job.model_ids, each.model_seconds, strict=False):
            yield (model_id, each.instance_type), rows, seconds


def _times_of_formats(
    measured: Iterable[tuple[JobRecord, JobMeasurements]],
) -> Iterator[tuple[tuple[str, str], float, float]]:
    """Yield rows and seconds by format and instance type."""
    for _, each in measured:
        for found in each.formats:
            yield (found.name, each.instance_type), float(found.rows), found.seconds


def _rates(found: Iterable[tuple[K, float, float]]) -> Iterator[tuple[K, float]]:
    """Yield the sum of the first numbers divided by the sum of the second, by key."""
    sums: dict[K, tuple[float, float]] = {}
    for key, amount, per in found:
        if amount > 0 and per > 0:
            known = sums.get(key, (0.0, 0.0))
            sums[key] = (known[0] + amount, known[1] + per)
    for key, (amount, per) in sums.items():
        yield key, amount / per
