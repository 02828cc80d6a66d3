"""Runs one instance's part of an attempt, from the job spec to the exit message."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Never

from contract import environment
from contract.catalog.model_formats import ModelFormat
from contract.codec import loads
from contract.container_paths import ContainerPaths
from contract.free_memory import free_memory
from contract.job.fleet_keys import needed_members
from contract.job.scoring_spec import JobSpec, PinnedObject
from contract.job.snapshot import read_snapshot
from contract.problems import InvalidInputError
from contract.status import FailureKind
from scoring.errors import BAD_ROWS, ConfigurationError, ScoringError, describe_error, log_error, unforeseen
from scoring.files.scratch import scratch_folder
from scoring.fleets.setup import batches_for_members, fleet_setup
from scoring.job import exit_message
from scoring.job.artifacts import extract_model, verify_artifacts
from scoring.job.resource_config import current_host
from scoring.job.shard import Shard, find_shard
from scoring.job_log.events import log_event
from scoring.protocol import ObjectDone, WorkerSetup
from scoring.separation.descendants import adopt_orphans, kill_descendants
from scoring.separation.worker_user import WorkerUser, find_worker_user, make_folder
from scoring.supervision.supervisor import Supervisor

_CACHE_SHARE = 4
"""Part of the free memory that the loaded models of a fleet may take, as divisor, in all workers together."""
_MAX_DIGITS = 12
_STOPPED_EXIT_CODE = 128 + signal.SIGTERM
_MAX_SHOWN_FAILURES = 3
_KIND_PRIORITY = (FailureKind.CONFIGURATION, FailureKind.MODEL, FailureKind.DATA, FailureKind.TRANSIENT)
"""Priority of failure kinds: a permanent kind comes first, because a retry cannot fix it."""


class StopRequested(BaseException):
    """The service asked the container to stop."""


def run(paths: ContainerPaths, cores: int, workers: int | None = None) -> int:
    """Score this instance's shard and return the exit code; the exit message explains a failure."""
    paths.exit_message.unlink(missing_ok=True)
    try:
        with _stop_on_signals():
            failures = _score_shard(paths, cores, workers)
    except StopRequested as stop:
        exit_message.write(paths, FailureKind.STOPPED, str(stop))
        return _STOPPED_EXIT_CODE
    except ScoringError as error:
        log_error(error)
        exit_message.write(paths, error.kind, error.text)
        return 1
    # Catch all unforeseen errors: an exit without a message would tell an operator nothing.
    except Exception as error:
        log_error(error)
        failure = unforeseen(error)
        exit_message.write(paths, failure.kind, failure.text)
        return 1
    if failures:
        kind, text = _summarize(*failures)
        exit_message.write(paths, kind, text)
        log_event("failed", kind=kind.value, reason=text)
        return 1
    return 0


def _score_shard(paths: ContainerPaths, cores: int, workers: int | None) -> tuple[list[ObjectDone], int] | None:
    """Score the shard. Returns the failed objects and the number of all, or None if none failed."""
    started, started_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
    spec = _read_spec(paths)
    with _open_snapshot(paths, spec) as objects:
        shard = find_shard(paths.data, spec.dataset, objects)
    for key in shard.ignored:
        log_event("file_ignored", file=key, reason="it is not in the job's snapshot")
    ended = list(shard.refused)
    for done in shard.refused:
        _report(done)
    if paths.in_training_job:
        shard = _without_restored(shard, paths, spec, cores)
    with ExitStack() as stack:
        outputs = (paths.predictions, paths.quarantine, paths.ledger)
        scratch = stack.enter_context(scratch_folder(paths.scratch_parents, outputs))
        # Processes that model code has left behind could write to the folder while it is deleted.
        stack.callback(kill_descendants)
        user = _separate_workers(paths.root, scratch) if shard.objects else None
        supervisor = stack.enter_context(Supervisor(_loader_formats(spec), cores, workers, scratch=scratch, user=user))
        if shard.objects:
            supervisor.start_worker()
            adopt_orphans()
        needed = spec.models
        if spec.fleet is not None:
            needed = tuple(needed_members(spec.fleet, needed, (item.key for item in shard.objects)))
        verify_artifacts(paths.models, needed)
        if shard.objects:
            files = {
                model.model_id: extract_model(paths.models, model, scratch / "models" / model.model_id)
                for model in needed
            }
            fleet = None
            if spec.fleet is not None:
                local = [files.get(model.model_id) for model in spec.models]
                fleet = fleet_setup(spec.fleet, spec.models, local, free_memory() // _CACHE_SHARE // cores)
            setup = WorkerSetup(
                execution_id=spec.execution_id,
                job_id=spec.job_id,
                batch_rows=_batch_rows(spec) * (batches_for_members(len(spec.models)) if fleet else 1),
                scratch=str(scratch),
                models=spec.committing_models,
                model_files=() if fleet else tuple(map(str, files.values())),
                parts=str(scratch / "parts"),
                data=str(shard.root),
                output_layout=spec.output_layout,
                joined_nulls=spec.joined_nulls,
                fleet=fleet,
            )
            make_folder(Path(setup.parts), user)
            # Imported while the worker imports its libraries, so that the worker starts earlier.
            from scoring.commits.object_commits import ObjectCommits  # noqa: PLC0415

            host = current_host(paths.resource_config)
            with closing(
                ObjectCommits(setup, paths, scratch / "committing", user, host=host, started_at=started_at)
            ) as commits:
                ended += supervisor.score(setup, shard.objects, commits, _report)
    failed = [done for done in ended if done.failures]
    seconds = time.monotonic() - started
    rows = sum(done.rows for done in ended if not done.failures)
    log_event("shard_ended", objects=len(ended), failed=len(failed), rows=rows, seconds=round(seconds, 3))
    return (failed, len(ended)) if failed else None


def _without_restored(shard: Shard, paths: ContainerPaths, spec: JobSpec, cores: int) -> Shard:
    """Return the shard without the objects that this job had committed before it was interrupted."""
    # Imported late for the same reason as `ObjectCommits`: it loads the library of the checksums.
    from scoring.commits.restored import restored_objects  # noqa: PLC0415

    kept = restored_objects(paths, spec, shard.objects, cores)
    if kept:
        log_event("objects_restored", objects=len(kept), left=len(shard.objects) - len(kept))
    return replace(shard, objects=tuple(item for item in shard.objects if item.key not in kept))


def _separate_workers(root: Path, scratch: Path) -> WorkerUser | None:
    """Return the user for the workers; None, and a line in the log, if they must run as this one."""
    user, reason = find_worker_user(root, scratch)
    if user is None:
        consequence = "code in artifacts can change this job's files; the job goes on"
        log_event("workers_not_separated", reason=reason, consequence=consequence)
    return user


def _loader_formats(spec: JobSpec) -> list[ModelFormat]:
    """Return the formats whose libraries a worker imports while the artifacts are verified."""
    return ["custom" if model.custom_code else model.format for model in spec.models]


def _batch_rows(spec: JobSpec) -> int:
    """Return the most rows per batch: the spec's, or fewer after an attempt that ran out of memory."""
    text = os.environ.get(environment.BATCH_ROWS, "")
    if not text:
        return spec.options.batch_rows
    if not (text.isascii() and text.isdigit() and 0 < len(text) < _MAX_DIGITS and int(text)):
        raise ConfigurationError(
            f"the variable {environment.BATCH_ROWS} is {text!r}, expected a whole number of at least 1: deploy the "
            "stacks and the image of one release"
        )
    return min(int(text), spec.options.batch_rows)


def _read_spec(paths: ContainerPaths) -> JobSpec:
    try:
        return loads(JobSpec, paths.spec.read_bytes(), subject="job.json")
    except InvalidInputError as error:
        raise ConfigurationError(str(error)) from error
    except OSError as error:
        raise ConfigurationError(
            f"the job spec cannot be read ({describe_error(error)}): check the job's input"
        ) from error


@contextmanager
def _open_snapshot(paths: ContainerPaths, spec: JobSpec) -> Iterator[Iterator[PinnedObject]]:
    """Open the snapshot and return its objects, which need not fit into memory together."""
    try:
        file = paths.snapshot.open("rb")
    except OSError as error:
        raise ConfigurationError(
            f"the snapshot cannot be read ({describe_error(error)}): check the job's input"
        ) from error
    with file:
        try:
            objects = read_snapshot(file, spec.snapshot)
        except InvalidInputError as error:
            raise ConfigurationError(str(error)) from error
        yield objects


def _summarize(failed: Sequence[ObjectDone], objects: int) -> tuple[FailureKind, str]:
    """Return the kind and the text that summarize all failed objects.

    A failure that several objects have in common is shown once, with the first of them and its number of bad rows.
    """
    failures = [(done.key, failure) for done in sorted(failed, key=lambda done: done.key) for failure in done.failures]
    kind = next((k for k in _KIND_PRIORITY if any(f.kind == k for _, f in failures)), FailureKind.UNKNOWN)
    first: dict[str, tuple[str, str]] = {}
    counts: Counter[str] = Counter()
    for name, failure in [(f"object {key!r}", failure) for key, failure in failures if failure.kind == kind]:
        rest = failure.text.removeprefix(name)
        alike = BAD_ROWS.sub("", rest)
        first.setdefault(alike, (name if rest != failure.text else "", rest))
        counts[alike] += 1
    shown = [
        f"{name}{f' and {counts[alike] - 1:,} more' if name and counts[alike] > 1 else ''}{rest}"
        for alike, (name, rest) in first.items()
    ]
    return kind, f"{len(failed)} of {objects} objects failed: " + "; ".join(shown[:_MAX_SHOWN_FAILURES])


def _report(done: ObjectDone) -> None:
    fields: dict[str, object] = {"object": done.key, "rows": done.rows, "seconds": round(done.seconds, 3)}
    if done.failures:
        failures = [{"model": f.model_id or None, "kind": f.kind.value, "reason": f.text} for f in done.failures]
        log_event("object_failed", **fields, failures=failures)
    else:
        log_event("object_scored", **fields, rows_per_second=round(done.rows / max(done.seconds, 1e-6)))


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Raise StopRequested on SIGTERM or SIGINT; later signals must not break the clean-up."""

    def stop(number: int, _: FrameType | None) -> Never:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_IGN)
        raise StopRequested(
            f"the container got {signal.Signals(number).name}; the objects scored so far are committed, "
            "those in progress are not"
        )

    before = {name: signal.signal(name, stop) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for name, handler in before.items():
            if signal.getsignal(name) is not signal.SIG_IGN:
                signal.signal(name, handler)
