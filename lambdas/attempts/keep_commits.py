"""Keep the commits of earlier executions and of attempts on spot capacity: copy their outputs, then
write their commits to the job's own ledger.

A call that ends early leaves outputs without a commit, which the next call or the job itself
replaces. Commits that an earlier call has written are not copied again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import ClientError

from contract import layout
from contract.catalog.routes import SKIP
from contract.job.ledger import MAX_SEGMENT_BYTES, Commit, SegmentHeader, commit_line, segment_content
from contract.job.scored_before import digests_of, keeps_commit
from contract.job.scoring_spec import JobSource, JobSpec
from contract.problems import InvalidInputError
from contract.table.records import JobRecord
from lambdas.attempts.checksums import ChecksumRules
from lambdas.attempts.commits import commit_problem
from lambdas.attempts.output_files import OutputFiles, Pairs, Place, UnexpectedFiles, spot_places
from lambdas.attempts.segments import read_ledger, read_segments
from lambdas.errors import KeptOutputsLeftError
from lambdas.stage.buckets.expired import is_gone
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.observability import logger
from lambdas.stage.parallel import in_parallel

T = TypeVar("T")

MAX_KEPT_BYTES = 200 << 30
"""Largest output that is copied, in bytes. S3 copies it within a function's time."""
_COMMITS_AT_ONCE = 1_000
"""Commits between two segments: what a call that crashes may have copied in vain."""
_BYTES_AT_ONCE = 64 << 30
"""Bytes of outputs between two segments, if they are large."""
_SEGMENT_BYTES = MAX_SEGMENT_BYTES - (1 << 20)
_SECONDS_AFTERWARDS = 120.0
_SECONDS_PER_COMMIT = 0.0005
"""Time to leave for the rest of the step, which lists outputs and reads the ledger."""


@dataclass(frozen=True)
class _Copy:
    """An output to copy, by its keys in the results bucket."""

    source: str
    target: str
    bytes: int
    crc64nvme: str


@dataclass(frozen=True)
class _Kept:
    """Commits that are kept together, because they share an output, and the copies that they need."""

    pairs: Sequence[int]
    commits: Sequence[Commit]
    copies: Sequence[_Copy]

    @property
    def bytes(self) -> int:
        return sum(copy.bytes for copy in self.copies)


def keep_commits(spec: JobSpec, store: ObjectStore, rules: ChecksumRules) -> None:
    """Copy what the job's sources have scored of its objects, and commit it. Idempotent.

    Raises:
        KeptOutputsLeftError: when the function's time is running out. The next call continues.
    """
    pairs = Pairs(spec.committing_models, store.objects_of(spec), spec.output_layout)
    is_kept = bytearray(len(pairs))
    for pair, _ in read_ledger(Place(spec), pairs, store, UnexpectedFiles()):
        is_kept[pair] = True
    copier = _Copier(spec, store, rules, len(pairs))
    for source in spec.sources:
        for found in _until_gone(source, _kept_of(source, spec, pairs, is_kept, store)):
            for kept in copier.copy(_until_gone(source, found)):
                for pair in kept.pairs:
                    is_kept[pair] = True
    logger.info("kept the commits of earlier executions", copied=copier.copied, kept=sum(is_kept), expected=len(pairs))


def keep_spot_commits(spec: JobSpec, store: ObjectStore, rules: ChecksumRules) -> None:
    """Copy what the job's attempts on spot capacity have scored, and commit it. Idempotent.

    The segments that this writes name the attempt as their host. So what was copied of an attempt is
    not copied again, and what a later attempt has scored again replaces it.

    Raises:
        KeptOutputsLeftError: when the function's time is running out. The next call continues.
    """
    places = spot_places(spec, store)
    if not places:
        return
    pairs = Pairs(spec.committing_models, store.objects_of(spec), spec.output_layout)
    copied_before = {_host(attempt): bytearray(len(pairs)) for attempt in places}
    for header, commits in read_segments(Place(spec), pairs, store, UnexpectedFiles()):
        if header.host in copied_before:
            for pair, _ in commits:
                copied_before[header.host][pair] = True
    copier = _Copier(spec, store, rules, len(pairs))
    for attempt, place in places.items():
        is_kept = copied_before[_host(attempt)]
        for _ in copier.copy(_spot_commits(place, pairs, is_kept, store), host=_host(attempt)):
            pass
    logger.info("kept the commits of attempts on spot capacity", copied=copier.copied, expected=len(pairs))


def keep_spot_commits_of_ended(job: JobRecord, store: ObjectStore, rules: ChecksumRules) -> None:
    """Do so for a job that has ended without success, if it scored on spot capacity.

    An error is only logged, because the job's record must be closed in any case: a resumed execution keeps
    such commits too.

    Raises:
        KeptOutputsLeftError: when the function's time is running out. The next call continues.
    """
    if not job.scores_on_spot or not job.attempt:
        return
    try:
        keep_spot_commits(store.job_spec(job.execution_id, job.job_id), store, rules)
    except KeptOutputsLeftError:
        raise
    except Exception:
        logger.exception("the job's commits on spot capacity could not be kept", job_id=job.job_id)


def _host(attempt: int) -> str:
    return f"spot-attempt-{attempt}"


class _Copier:
    """Copies outputs to the job's own prefixes, and writes their commits to its ledger, while there is time."""

    def __init__(self, spec: JobSpec, store: ObjectStore, rules: ChecksumRules, pairs: int) -> None:
        self._spec, self._store, self._rules = spec, store, rules
        self._reserved = _SECONDS_AFTERWARDS + pairs * _SECONDS_PER_COMMIT
        self._longest = 0.0
        self.copied = 0
        """Number of commits."""

    def copy(self, found: Iterator[_Kept], *, host: str = "") -> Iterator[_Kept]:
        """Yield what was copied. Raises KeptOutputsLeftError."""
        for batch in _batches(found):
            started = self._rules.seconds_left()
            written = _copy(batch, self._spec, self._store, host)
            self.copied += sum(len(kept.commits) for kept in written)
            yield from written
            # Not before the first batch, so that each call makes progress. A batch that does not end in
            # time would be copied again.
            self._longest = max(self._longest, started - self._rules.seconds_left())
            if self._rules.seconds_left() < self._reserved + self._longest:
                raise KeptOutputsLeftError(self._spec.job_id, self.copied)


def _kept_of(
    source: JobSource, spec: JobSpec, pairs: Pairs, is_kept: bytearray, store: ObjectStore
) -> Iterator[Iterator[_Kept]]:
    """Yield the commits in each place of a source that count for the job, with their outputs as they are in S3.

    What is kept of one place must be in `is_kept` before the next one is read: they may have the same commits.
    """
    if all(is_kept):
        return
    old = _find_spec(source, store)
    if old is None:
        return
    old_digests = digests_of(old)
    same = {name for name, digest in digests_of(spec).items() if old_digests.get(name) == digest}
    try:
        old_pairs = Pairs(old.committing_models, store.objects_of(old), old.output_layout) if same else None
    except InvalidInputError:
        old_pairs = None
    if old_pairs is None:
        return

    def counts(old_pair: int, commit: Commit) -> int | None:
        pair = pairs.find(commit.model_id, commit.object)
        if pair is None or is_kept[pair] or commit.model_id not in same:
            return None
        is_same = pairs.object(pair) == old_pairs.object(old_pair)
        return pair if is_same and keeps_commit(commit, old_pairs.model(old_pair).version, pairs.model(pair)) else None

    yield _commits_in(Place(old), old_pairs, spec, pairs, counts=counts, store=store)
    if all(is_kept):
        return
    # Attempts on spot capacity may have written something after their execution had ended.
    for place in spot_places(old, store).values():
        yield _commits_in(place, old_pairs, spec, pairs, counts=counts, store=store)


def _spot_commits(place: Place, pairs: Pairs, is_kept: bytearray, store: ObjectStore) -> Iterator[_Kept]:
    """Yield the commits of an attempt on spot capacity, with their outputs as they are in S3."""

    def counts(pair: int, _: Commit) -> int | None:
        return None if is_kept[pair] else pair

    return _commits_in(place, pairs, place.spec, pairs, counts=counts, store=store)


def _commits_in(
    place: Place,
    old_pairs: Pairs,
    spec: JobSpec,
    pairs: Pairs,
    *,
    counts: Callable[[int, Commit], int | None],
    store: ObjectStore,
) -> Iterator[_Kept]:
    """Yield the commits of a place that count for the job.

    `counts` returns the pair of the job whose commit it may be, and None if it is none.
    """
    old, unexpected = place.spec, UnexpectedFiles()
    # The checksums of the copies are compared instead.
    files = OutputFiles(place, old_pairs, store, unexpected, ChecksumRules.without_checksums())
    if unexpected.count and not place.checkpoints:
        logger.warning("nothing is kept of a job with files that no commit names", source=old.job_id)
        return
    skips = old.fleet is not None and old.fleet.unmatched == SKIP
    is_shared = layout.is_shared_output("predictions", spec.output_layout)
    waiting: dict[int, dict[int, Commit]] = {}
    is_found = bytearray(len(pairs))
    # The newest first: an object whose outputs were lost has several commits.
    for old_pair, commit in read_ledger(place, old_pairs, store, unexpected):
        pair = counts(old_pair, commit)
        is_whole = (
            pair is not None
            and not is_found[pair]
            and not commit_problem(commit, old_pairs, old_pair, files, skips=skips)
            and all(output.bytes <= MAX_KEPT_BYTES for output in commit.outputs)
        )
        if pair is None or not is_whole:
            continue
        # Models that share an output are kept together.
        first, count = (pair - pair % len(pairs.models), len(pairs.models)) if is_shared else (pair, 1)
        found = waiting.setdefault(first, {})
        found[pair] = commit
        is_found[pair] = True
        if len(found) == count:
            del waiting[first]
            yield _Kept(tuple(found), tuple(found.values()), _copies(found.values(), place, Place(spec)))


def _until_gone(source: JobSource, found: Iterator[T]) -> Iterator[T]:
    """Yield what is found until a file of the source turns out to have expired. The rest is scored."""
    try:
        yield from found
    except ClientError as error:
        if not is_gone(error):
            raise
        logger.warning("files of an earlier job have expired meanwhile", source=source.job_id, error=str(error))


def _copies(commits: Iterable[Commit], source: Place, target: Place) -> tuple[_Copy, ...]:
    return tuple(
        dict.fromkeys(
            _Copy(
                source.outputs_prefix(output.kind) + output.key,
                target.outputs_prefix(output.kind) + output.key,
                output.bytes,
                output.crc64nvme,
            )
            for commit in commits
            for output in commit.outputs
        )
    )


def _find_spec(source: JobSource, store: ObjectStore) -> JobSpec | None:
    """Return the spec of a source; None if it has expired since the plan has read it."""
    try:
        return store.job_spec(source.execution_id, source.job_id)
    except ClientError as error:
        if is_gone(error):
            return None
        raise


def _batches(found: Iterator[_Kept]) -> Iterator[list[_Kept]]:
    batch: list[_Kept] = []
    commits = size = 0
    for kept in found:
        batch.append(kept)
        commits, size = commits + len(kept.commits), size + kept.bytes
        if commits >= _COMMITS_AT_ONCE or size >= _BYTES_AT_ONCE:
            yield batch
            batch, commits, size = [], 0, 0
    if batch:
        yield batch


def _copy(batch: Sequence[_Kept], spec: JobSpec, store: ObjectStore, host: str) -> list[_Kept]:
    """Copy the outputs of a batch, then write segments with the commits whose copies fit. Return these."""

    def is_same(copy: _Copy) -> bool:
        checksum = store.copy_result(copy.source, copy.target, copy.bytes)
        return checksum is not None and checksum in ("", copy.crc64nvme)

    copies = [copy for kept in batch for copy in kept.copies]
    fits = dict(zip(copies, in_parallel(is_same, copies), strict=True))
    complete = [kept for kept in batch if all(fits[copy] for copy in kept.copies)]
    for commits in _segments([commit for kept in complete for commit in kept.commits]):
        versions = {model.model_id: model.version for model in spec.committing_models}
        models = {commit.model_id: versions[commit.model_id] for commit, _ in commits}
        header = SegmentHeader(spec.execution_id, spec.job_id, models, host)
        store.add_segment(spec, *segment_content(header, [line for _, line in commits]))
    return complete


def _segments(commits: Sequence[Commit]) -> Iterator[list[tuple[Commit, bytes]]]:
    """Yield the commits and their lines, as many as one segment may have."""
    lines: list[tuple[Commit, bytes]] = []
    size = 0
    for commit in commits:
        line = commit_line(commit)
        if lines and size + len(line) > _SEGMENT_BYTES:
            yield lines
            lines, size = [], 0
        lines.append((commit, line))
        size += len(line)
    if lines:
        yield lines
