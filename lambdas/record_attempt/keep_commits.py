"""Keep the commits of earlier executions: copy their outputs, then write their commits to the job's own ledger.

A call that ends early leaves outputs without a commit, which the next call or the job itself
replaces. Commits that an earlier call has written are not copied again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from contract import layout
from contract.catalog.fleets import SKIP
from contract.job.ledger import MAX_SEGMENT_BYTES, Commit, SegmentHeader, commit_line, segment_content
from contract.job.scored_before import digests_of, keeps_commit
from contract.job.scoring_spec import JobSource, JobSpec
from contract.problems import InvalidInputError
from lambdas.attempts.checksums import ChecksumRules
from lambdas.attempts.commits import commit_problem
from lambdas.attempts.output_files import OutputFiles, Pairs, UnexpectedFiles, outputs_prefix
from lambdas.attempts.segments import read_ledger
from lambdas.errors import KeptOutputsLeftError
from lambdas.stage.buckets.expired import is_gone
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.observability import logger
from lambdas.stage.parallel import in_parallel

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
    for pair, _ in read_ledger(spec, pairs, store, UnexpectedFiles()):
        is_kept[pair] = True
    reserved = _SECONDS_AFTERWARDS + len(pairs) * _SECONDS_PER_COMMIT
    copied, longest = 0, 0.0
    for source in spec.sources:
        if all(is_kept):
            break
        for batch in _batches(_until_gone(source, _kept_of(source, spec, pairs, is_kept, store))):
            started = rules.seconds_left()
            written = _copy(batch, spec, store)
            for kept in written:
                for pair in kept.pairs:
                    is_kept[pair] = True
            copied += sum(len(kept.commits) for kept in written)
            # Not before the first batch, so that each call makes progress. A batch that does not end in
            # time would be copied again.
            longest = max(longest, started - rules.seconds_left())
            if rules.seconds_left() < reserved + longest:
                raise KeptOutputsLeftError(spec.job_id, copied)
    logger.info("kept the commits of earlier executions", copied=copied, kept=sum(is_kept), expected=len(pairs))


def _kept_of(source: JobSource, spec: JobSpec, pairs: Pairs, is_kept: bytearray, store: ObjectStore) -> Iterator[_Kept]:
    """Yield the commits of a source that count for the job, with their outputs as they are in S3."""
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
    unexpected = UnexpectedFiles()
    # The checksums of the copies are compared instead.
    files = OutputFiles(old, old_pairs, store, unexpected, ChecksumRules.without_checksums())
    if unexpected.count:
        logger.warning("nothing is kept of a job with files that no commit names", source=source.job_id)
        return
    skips = old.fleet is not None and old.fleet.unmatched == SKIP
    is_shared = layout.is_shared_output("predictions", spec.output_layout)
    waiting: dict[int, dict[int, Commit]] = {}
    for old_pair, commit in read_ledger(old, old_pairs, store, unexpected):
        pair = pairs.find(commit.model_id, commit.object)
        if pair is None or is_kept[pair] or commit.model_id not in same:
            continue
        counts = (
            pairs.object(pair) == old_pairs.object(old_pair)
            and keeps_commit(commit, old_pairs.model(old_pair).version, pairs.model(pair))
            and not commit_problem(commit, old_pairs, old_pair, files, skips=skips)
            and all(output.bytes <= MAX_KEPT_BYTES for output in commit.outputs)
        )
        if not counts:
            continue
        # Models that share an output are kept together.
        first, count = (pair - pair % len(pairs.models), len(pairs.models)) if is_shared else (pair, 1)
        found = waiting.setdefault(first, {})
        found.setdefault(pair, commit)
        if len(found) == count:
            del waiting[first]
            yield _Kept(tuple(found), tuple(found.values()), _copies(found.values(), old, spec))


def _until_gone(source: JobSource, found: Iterator[_Kept]) -> Iterator[_Kept]:
    """Yield what is found until a file of the source turns out to have expired. The rest is scored."""
    try:
        yield from found
    except ClientError as error:
        if not is_gone(error):
            raise
        logger.warning("files of an earlier job have expired meanwhile", source=source.job_id, error=str(error))


def _copies(commits: Iterable[Commit], old: JobSpec, spec: JobSpec) -> tuple[_Copy, ...]:
    return tuple(
        dict.fromkeys(
            _Copy(
                outputs_prefix(output.kind, old) + output.key,
                outputs_prefix(output.kind, spec) + output.key,
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


def _copy(batch: Sequence[_Kept], spec: JobSpec, store: ObjectStore) -> list[_Kept]:
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
        header = SegmentHeader(spec.execution_id, spec.job_id, models)
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
