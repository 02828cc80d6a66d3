"""Find out from the ledgers of old jobs which objects are scored already, and by which models."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from contract import layout
from contract.catalog.model_spec import ModelSpec
from contract.job.ledger import MAX_SEGMENT_BYTES, read_segment
from contract.job.scored_before import keeps_commit
from contract.job.scoring_spec import JobSource, PinnedObject
from contract.problems import InvalidInputError
from lambdas.planning.resume.old_jobs import OldJob, snapshot_objects
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.buckets.stored_object import StoredObject
from lambdas.stage.parallel import in_parallel

MAX_COUNTED = 1_000_000
"""Largest number of commits in ledgers, and of objects times models, that a plan reads and counts.

A function reads some thousand commits per second. Beyond, the plan estimates, and the jobs count.
"""
Outputs = Mapping[tuple[layout.OutputKind, str], int]
"""Size of each output of a job in S3, in bytes, by kind and key."""
_BYTES_AT_ONCE = 64 << 20
"""Segments in memory, in bytes."""
_COMMITTED, _KEPT, _QUARANTINED = 1, 2, 4
"""Bits of the state of an object and a model. The last one: only rows in quarantine prevent that its commit is kept."""
_IS_KEPT = bytes(bool(state & _KEPT) for state in range(256))
"""Whether a commit is kept, by the state of its object."""


@dataclass(frozen=True)
class Scorer:
    """A model or a fleet of the new execution."""

    spec: ModelSpec
    """The spec of the model, or of the one model that the fleet is."""
    dataset: str
    digest: str
    """Digest of all that decides about its output: see `scored_before.output_digests`."""


@dataclass
class Coverage:
    """What old jobs have scored of the new execution's objects."""

    scorers: Mapping[str, Scorer]
    objects: Mapping[str, Sequence[PinnedObject]]
    """The objects that the new execution scores, by dataset."""
    is_exact: bool = True
    """Whether the ledgers were read, and not only listed."""
    is_by_record: bool = False
    """Whether only jobs that succeeded without rows in quarantine count, because there are too many commits."""
    sources: Sequence[JobSource] = ()
    """All old jobs, newest first."""
    useful: dict[str, list[JobSource]] = field(default_factory=dict)
    """Jobs that have commits to keep, newest first, by the id of the model or fleet."""
    _states: dict[str, bytearray] = field(default_factory=dict)
    """For each model or fleet, the state of each object."""
    _at_most: dict[str, int] = field(default_factory=dict)

    def pairs(self, model_id: str) -> int:
        return len(self.objects[self.scorers[model_id].dataset])

    def kept(self, model_id: str) -> int:
        """Return how many commits are kept; at most as many if the coverage is not exact."""
        if not self.is_exact:
            return min(self.pairs(model_id), self._at_most.get(model_id, 0))
        return self._kept_flags(model_id).count(1)

    def again(self, model_id: str) -> int:
        """Return how many objects were scored and are scored again."""
        states = self._states.get(model_id, b"")
        return len(states) - states.count(0) - self._kept_flags(model_id).count(1)

    def quarantined(self, model_id: str) -> int:
        """Return how many of them are scored again because of their rows in quarantine."""
        return self._states.get(model_id, b"").count(_COMMITTED | _QUARANTINED)

    def group(self, model_id: str) -> str:
        """Return a text that is the same for models of which the same objects are left."""
        if not self.is_exact:
            sources = self.useful.get(model_id, [])
            return f"{sources[0].execution_id}/{sources[0].job_id}" if sources else ""
        return hashlib.sha256(self._kept_flags(model_id)).hexdigest() if self.kept(model_id) else ""

    def mark(self, model_id: str, number: int, bits: int) -> None:
        """Note a commit of an object, by its number in the dataset."""
        states = self._states.setdefault(model_id, bytearray(self.pairs(model_id)))
        states[number] |= _COMMITTED | bits

    def _kept_flags(self, model_id: str) -> bytes:
        """Return whether the commit of each object is kept, as a byte per object."""
        return bytes(self._states.get(model_id, b"").translate(_IS_KEPT))

    def add_estimate(self, model_id: str, commits: int) -> None:
        self._at_most[model_id] = self._at_most.get(model_id, 0) + commits


@dataclass(frozen=True)
class _Objects:
    """Objects of an old snapshot that the new execution scores too, by key."""

    numbers: Mapping[str, int]
    """Number of each object in the new execution."""
    unchanged: frozenset[str]
    """Keys of those that have the same size and ETag."""


def read_coverage(
    scorers: Mapping[str, Scorer],
    objects: Mapping[str, Sequence[PinnedObject]],
    old_jobs: Sequence[OldJob],
    store: ObjectStore,
    *,
    check_outputs: bool = False,
) -> Coverage:
    """Return which objects are committed already, from the newest old job to the oldest.

    With `check_outputs`, commits only count whose outputs are in S3, and none is an estimate.
    """
    coverage = Coverage(scorers, objects, sources=[job.source for job in old_jobs])
    jobs = [job for job in old_jobs if any(_reads(coverage, job, model_id) for model_id in job.versions)]
    ledgers = list(in_parallel(lambda job: _segments(job, store), jobs))
    commits = sum(layout.commits_in_segment(entry.key) or 0 for ledger in ledgers for entry in ledger)
    is_large = max(commits, sum(map(coverage.pairs, scorers))) > MAX_COUNTED
    if is_large and check_outputs:
        coverage.is_by_record = True
        for job in jobs:
            _count_by_record(coverage, job, objects[job.dataset], store)
        return coverage
    if is_large:
        coverage.is_exact = False
        for job, ledger in zip(jobs, ledgers, strict=True):
            _estimate(coverage, job, ledger)
        return coverage
    datasets = {job.snapshot: job.dataset for job, ledger in zip(jobs, ledgers, strict=True) if ledger}
    pinned = in_parallel(lambda ref: snapshot_objects(ref, store), datasets)
    snapshots = {
        ref: _compare(old, objects[dataset]) for (ref, dataset), old in zip(datasets.items(), pinned, strict=True)
    }
    segments = [(job, entry) for job, ledger in zip(jobs, ledgers, strict=True) for entry in ledger]
    outputs: dict[JobSource, Outputs] = {}
    for batch in _batches(segments):
        contents = in_parallel(lambda segment: _content(*segment, store), batch)
        if check_outputs:
            unknown = list({job.source: job for job, _ in batch if job.source not in outputs}.values())
            found = in_parallel(lambda job: _outputs(coverage, job, store), unknown)
            outputs |= zip([job.source for job in unknown], found, strict=True)
        for (job, entry), content in zip(batch, contents, strict=True):
            _count(coverage, job, snapshots[job.snapshot], entry.key, content, outputs=outputs.get(job.source))
    return coverage


def _batches(segments: Sequence[tuple[OldJob, StoredObject]]) -> Iterator[list[tuple[OldJob, StoredObject]]]:
    """Yield segments in order, as many at once as may be in memory."""
    batch: list[tuple[OldJob, StoredObject]] = []
    size = 0
    for segment in segments:
        batch.append(segment)
        size += segment[1].size
        if size > _BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    yield batch


def _reads(coverage: Coverage, job: OldJob, model_id: str) -> bool:
    scorer = coverage.scorers.get(model_id)
    return scorer is not None and scorer.dataset == job.dataset


def _segments(job: OldJob, store: ObjectStore) -> list[StoredObject]:
    listed = store.results_below(job.ledger_prefix)
    return [entry for entry in listed if layout.commits_in_segment(entry.key) and entry.size <= MAX_SEGMENT_BYTES]


def _content(job: OldJob, entry: StoredObject, store: ObjectStore) -> bytes:
    return store.segment(job.ledger_prefix + entry.key)


def _compare(old: Sequence[PinnedObject], new: Sequence[PinnedObject]) -> _Objects:
    known = {item.key: item for item in old}
    numbers = {item.key: number for number, item in enumerate(new) if item.key in known}
    return _Objects(numbers, frozenset(item.key for item in new if known.get(item.key) == item))


def _outputs(coverage: Coverage, job: OldJob, store: ObjectStore) -> Outputs:
    """Return the sizes of a job's outputs in S3; none if no commit of the job can count."""
    if not _same_models(coverage, job):
        return {}
    return {
        (kind, entry.key): entry.size
        for kind in get_args(layout.OutputKind)
        for entry in store.results_below(job.outputs_prefix(kind))
    }


def _count_by_record(coverage: Coverage, job: OldJob, objects: Sequence[PinnedObject], store: ObjectStore) -> None:
    """Count the commits of a job without its ledger: one that has succeeded has verified all of them."""
    same = _same_models(coverage, job)
    for model_id in same:
        _add_source(coverage, job, model_id)
    has_outputs = job.is_whole and any(True for _ in store.result_entries(job.outputs_prefix("predictions")))
    if not same or not has_outputs:
        return
    found = _compare(snapshot_objects(job.snapshot, store), objects)
    for model_id in same:
        for key, number in found.numbers.items():
            coverage.mark(model_id, number, _KEPT if key in found.unchanged else 0)


def _same_models(coverage: Coverage, job: OldJob) -> list[str]:
    """Return the models whose commits of the job may count."""
    return [
        name
        for name, digest in job.digests.items()
        if _reads(coverage, job, name) and coverage.scorers[name].digest == digest
    ]


def _count(
    coverage: Coverage, job: OldJob, objects: _Objects, name: str, content: bytes, *, outputs: Outputs | None
) -> None:
    try:
        commits = list(read_segment(name, content).commits())
    except InvalidInputError:
        # Of another release. What it has committed is scored again.
        return
    for commit in commits:
        model_id, number = commit.model_id, objects.numbers.get(commit.object)
        if number is None or not _reads(coverage, job, model_id):
            continue
        scorer = coverage.scorers[model_id]
        is_same = job.digests.get(model_id) == scorer.digest and commit.object in objects.unchanged
        is_kept = is_same and keeps_commit(commit, job.versions[model_id], scorer.spec)
        is_quarantined = is_same and not is_kept
        if is_kept and outputs is not None:
            is_kept = all(outputs.get((item.kind, item.key)) == item.bytes for item in commit.outputs)
        coverage.mark(model_id, number, _KEPT if is_kept else _QUARANTINED if is_quarantined else 0)
        if is_kept:
            _add_source(coverage, job, model_id)


def _estimate(coverage: Coverage, job: OldJob, ledger: Sequence[StoredObject]) -> None:
    commits = sum(layout.commits_in_segment(entry.key) or 0 for entry in ledger)
    for model_id in _same_models(coverage, job) if commits else ():
        coverage.add_estimate(model_id, min(commits, job.snapshot.objects))
        _add_source(coverage, job, model_id)


def _add_source(coverage: Coverage, job: OldJob, model_id: str) -> None:
    sources = coverage.useful.setdefault(model_id, [])
    if not sources or sources[-1] != job.source:
        sources.append(job.source)
