"""Reads the segments of a job's ledger, newest first, within limits."""

from collections.abc import Iterator, Sequence
from itertools import islice

from contract import layout
from contract.job.ledger import MAX_SEGMENT_BYTES, Commit, InstanceTimes, SegmentHeader, read_segment
from contract.job.scoring_spec import JobSpec
from contract.problems import InvalidInputError, Problem, list_problems
from lambdas.attempts.output_files import Pairs, Place, UnexpectedFiles, is_placeholder
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.buckets.stored_object import StoredObject
from lambdas.stage.parallel import in_parallel

_FOLDER = "ledger/"
_READ_AT_ONCE = 16
"""Segments in memory. With the largest ones they take 128 MB."""
_MAX_REPEATS = 20
"""Largest number of commits per object and model. Each attempt adds at most one."""


def read_ledger(
    place: Place,
    pairs: Pairs,
    store: ObjectStore,
    unexpected: UnexpectedFiles,
    times: dict[str, InstanceTimes] | None = None,
) -> Iterator[tuple[int, Commit]]:
    """Yield each commit with the number of its pair, the newest segment first.

    A file that is not a segment of this job, with all its commits, counts as unexpected. What each
    instance has measured is added to `times` by its name: the newest wins.
    """
    for header, commits in read_segments(place, pairs, store, unexpected):
        if times is not None and header.times is not None:
            times.setdefault(header.host, header.times)
        yield from commits


def read_segments(
    place: Place, pairs: Pairs, store: ObjectStore, unexpected: UnexpectedFiles
) -> Iterator[tuple[SegmentHeader, list[tuple[int, Commit]]]]:
    """Yield the header and the commits of each segment, as `read_ledger` does."""
    spec = place.spec
    remaining = iter(_list_segments(place, pairs, store, unexpected))
    while found := list(islice(remaining, _READ_AT_ONCE)):
        contents = in_parallel(lambda entry: store.segment(place.ledger_prefix + entry.key), found)
        for entry, content in zip(found, contents, strict=True):
            try:
                # All before the first is used, so that a segment counts as a whole or not at all.
                header, commits = _read(entry.key, content, spec, pairs)
            except InvalidInputError as error:
                unexpected.add(_FOLDER, entry.key, "; ".join(list_problems(error.problems)))
            else:
                yield header, commits


def _list_segments(
    place: Place, pairs: Pairs, store: ObjectStore, unexpected: UnexpectedFiles
) -> Sequence[StoredObject]:
    segments: list[StoredObject] = []
    left = len(pairs) * _MAX_REPEATS
    for found in store.results_below(place.ledger_prefix):
        commits = layout.commits_in_segment(found.key)
        if commits is None:
            finished = layout.finished_key(found.key) or ""
            if not is_placeholder(found) and layout.commits_in_segment(finished) is None:
                unexpected.add(_FOLDER, found.key)
        elif found.size > MAX_SEGMENT_BYTES:
            unexpected.add(_FOLDER, found.key, f"it has {found.size:,} bytes, expected at most {MAX_SEGMENT_BYTES:,}")
        elif commits > left:
            unexpected.add(_FOLDER, found.key, "there are more commits than all attempts can have")
        else:
            left -= commits
            segments.append(found)
        if unexpected.too_many:
            break
    return sorted(segments, key=lambda entry: (-entry.last_modified, entry.key))


def _read(name: str, content: bytes, spec: JobSpec, pairs: Pairs) -> tuple[SegmentHeader, list[tuple[int, Commit]]]:
    """Return a segment's header and commits. Raises InvalidInputError when it is not of this job."""
    segment = read_segment(name, content)
    header = segment.header
    if (header.execution_id, header.job_id) != (spec.execution_id, spec.job_id):
        found = f"{header.job_id} of execution {header.execution_id}"
        raise InvalidInputError(name, [Problem("job_id", found, f"{spec.job_id} of execution {spec.execution_id}")])
    versions = {model.model_id: model.version for model in spec.committing_models}
    for model_id, version in header.models.items():
        if versions.get(model_id) != version:
            expected = f"version {versions[model_id]!r}" if model_id in versions else "a model of the job"
            raise InvalidInputError(name, [Problem(f"models.{model_id}", version, expected)])
    commits: list[tuple[int, Commit]] = []
    for commit in segment.commits():
        pair = pairs.find(commit.model_id, commit.object)
        if pair is None:
            raise InvalidInputError(name, [Problem("object", commit.object, "an object of the job")])
        commits.append((pair, commit))
    return header, commits
