"""Form what a job has measured, from its ledger and SageMaker's description of its last attempt. Pure functions."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from contract.job.ledger import InstanceTimes
from contract.job.scoring_spec import JobSpec
from contract.planner.estimates import format_class
from contract.table.measurements import FormatMeasurement, JobMeasurements
from contract.table.records import JobRecord
from lambdas.attempts.commits import Commits, ModelTime

_DIGITS = ".4g"
"""Precision of seconds: a job may have a thousand models, and its record must stay small."""
_MAX_STARTUP_SECONDS = 86_400.0
"""Longest start-up or download that is believed."""
_LEAST_SECONDS = 0.001
"""Times come in whole milliseconds, and a start-up in the same one is known."""
_LEAST_DOWNLOAD_BYTES = 256 << 20
_LEAST_DOWNLOAD_SECONDS = 1.0
"""Less tells nothing about the rate of a download."""


def measure(job: JobRecord, spec: JobSpec, commits: Commits, description: Any) -> JobMeasurements:
    """Return what a job has measured.

    `description` is SageMaker's description of the attempt that completed it, as Step Functions passes
    it on; anything else if no attempt was needed.

    Commits of earlier executions, which the job has kept, were measured there.
    """
    described = description if isinstance(description, Mapping) else {}
    times = {} if job.commits_kept else commits.times
    seconds = [_seconds_of_all_rows(times.get(model_id), job, commits) for model_id in job.model_ids]
    return JobMeasurements(
        instance_type=_instance_type(described) or job.compute.instance_type or "",
        startup_seconds=_startup_seconds(described),
        download_bytes_per_second=_download_rate(job, spec, commits, described),
        model_seconds=tuple(seconds) if any(seconds) else (),
        # The models of a fleet have no times of their own.
        formats=() if spec.fleet else _by_format(spec, times, commits.instances.values()),
    )


def _seconds_of_all_rows(time: ModelTime | None, job: JobRecord, commits: Commits) -> float:
    """Return the seconds for all rows of the job; commits of an earlier release have none."""
    if time is None or not time.rows or not time.seconds:
        return 0.0
    rows = commits.rows_in / len(job.model_ids)
    return _rounded(time.seconds * rows / time.rows)


def _by_format(
    spec: JobSpec, times: Mapping[str, ModelTime], instances: Iterable[InstanceTimes]
) -> tuple[FormatMeasurement, ...]:
    found: dict[str, ModelTime] = {}
    for model in spec.models:
        time = times.get(model.model_id)
        if time is not None and time.rows and time.seconds:
            total = found.setdefault(format_class(model.format, model.artifact_bytes), ModelTime())
            total.add(time.rows, time.seconds)
    loads: dict[str, ModelTime] = {}
    for load in (load for instance in instances for load in instance.loads):
        loads.setdefault(load.name, ModelTime()).add(load.models, load.seconds)
    nothing = ModelTime()
    return tuple(
        FormatMeasurement(
            name,
            each.rows,
            _rounded(each.seconds),
            loads.get(name, nothing).rows,
            _rounded(loads.get(name, nothing).seconds),
        )
        for name, each in sorted(found.items())
    )


def _download_rate(job: JobRecord, spec: JobSpec, commits: Commits, description: Mapping[str, Any]) -> float:
    """Return the bytes per second from the start of the only instance until its container started; 0 if unknown.

    Only the first attempt has all objects. Of few bytes, the time would be that of image and container.
    """
    started = _time(description.get("ProcessingStartTime"))
    starts = [_time(each.started_at) for each in commits.instances.values()]
    size = job.input_bytes + sum(model.artifact_bytes for model in spec.models)
    is_whole = job.attempt == 1 and not job.commits_kept and _instance_count(description) == 1 == len(starts)
    if not is_whole or started is None or starts[0] is None or size < _LEAST_DOWNLOAD_BYTES:
        return 0.0
    seconds = (starts[0] - started).total_seconds()
    return _rounded(size / seconds) if _LEAST_DOWNLOAD_SECONDS <= seconds <= _MAX_STARTUP_SECONDS else 0.0


def _cluster(description: Mapping[str, Any]) -> Mapping[str, Any]:
    resources = description.get("ProcessingResources")
    cluster = resources.get("ClusterConfig") if isinstance(resources, Mapping) else description.get("ResourceConfig")
    return cluster if isinstance(cluster, Mapping) else {}


def _instance_count(description: Mapping[str, Any]) -> Any:
    return _cluster(description).get("InstanceCount")


def _instance_type(description: Mapping[str, Any]) -> str:
    found = _cluster(description).get("InstanceType")
    return found if isinstance(found, str) else ""


def _startup_seconds(description: Mapping[str, Any]) -> float:
    """Return the time from the creation of a processing job until its instances ran; 0 if it is unknown."""
    created, started = (_time(description.get(name)) for name in ("CreationTime", "ProcessingStartTime"))
    if created is None or started is None:
        return 0.0
    seconds = (started - created).total_seconds()
    return _rounded(max(seconds, _LEAST_SECONDS)) if 0 <= seconds <= _MAX_STARTUP_SECONDS else 0.0


def _time(value: Any) -> datetime | None:
    """Return a time of a description: Step Functions passes on milliseconds since 1970."""
    try:
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value / 1_000, UTC)
        found = datetime.fromisoformat(value)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (OverflowError, OSError, TypeError, ValueError):
        return None


def _rounded(seconds: float) -> float:
    return float(format(seconds, _DIGITS))
