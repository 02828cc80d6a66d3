"""Compare a job's pinned objects with its commits and with all files of its output in S3."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import get_args

from contract import layout
from contract.catalog.model_spec import tolerated_rows
from contract.catalog.routes import SKIP
from contract.job.ledger import Commit, InstanceTimes, OutputFile
from contract.job.notes import counted_note
from contract.job.scoring_spec import JobSpec
from contract.status import ExecutionKind
from contract.table.records import JobRecord
from lambdas.attempts.checksums import ChecksumRules
from lambdas.attempts.output_files import OutputFiles, Pairs, Place, UnexpectedFiles
from lambdas.attempts.segments import read_ledger
from lambdas.errors import UnexpectedFile
from lambdas.shown_text import shorten
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.observability import logger

_MAX_PROBLEMS = 1_000
"""Maximum number of reasons that are kept. The errors show the first."""
_MAX_PROBLEM_CHARACTERS = 300
_MAX_NAME_CHARACTERS = 120
_MAX_NOTES = 20
"""Maximum number of notes in a job record, which must stay small for a job with many models."""
_MAX_DISTINCT_NOTES = 1_000
_MAX_NOTE_CHARACTERS = 1_000


@dataclass
class ModelTime:
    """Rows of a model, and the seconds that threads were busy with them."""

    rows: int = 0
    seconds: float = 0.0

    def add(self, rows: int, seconds: float) -> None:
        self.rows += rows
        self.seconds += seconds


@dataclass(frozen=True)
class Commits:
    """The commits of a job. Row counts are of valid commits, and count a row once per model."""

    expected: int
    """One commit per pinned object and model."""
    missing: tuple[str, ...]
    """The first commits that are missing or invalid, each as "<model id>/<object key>: <why>"."""
    missing_count: int
    open_objects: tuple[str, ...]
    """Keys of the pinned objects that at least one model has not committed, in the snapshot's order."""
    unexpected: tuple[UnexpectedFile, ...]
    """The first files that no commit names and no other attempt can replace."""
    unexpected_count: int
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    rows_skipped: int = 0
    duplicate_keys: int = 0
    null_keys: int = 0
    notes: tuple[str, ...] = ()
    """Notes about outputs whose checksums were not compared, and distinct notes of the commits, each
    as "<model id>: <note>", with the sum of its counts."""
    times: Mapping[str, ModelTime] = field(default_factory=dict)
    """By model or fleet: sums over the commits that have a time, which those of earlier releases lack."""
    instances: Mapping[str, InstanceTimes] = field(default_factory=dict)
    """By name: what each instance has measured until it scored, in the latest attempt with a commit of it."""

    @property
    def valid(self) -> int:
        """Number of valid commits."""
        return self.expected - self.missing_count


@dataclass
class _Totals:
    """Sums over the valid commits."""

    rows_in: int = 0
    rows_scored: int = 0
    rows_quarantined: int = 0
    rows_skipped: int = 0
    duplicate_keys: int = 0
    null_keys: int = 0
    times: dict[str, ModelTime] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    """Distinct notes; the number of values that a note is about, 0 if it has none."""

    def add(self, commit: Commit) -> None:
        self.rows_in += commit.rows_in
        self.rows_scored += commit.rows_scored
        self.rows_quarantined += commit.rows_quarantined
        self.rows_skipped += commit.rows_skipped
        if commit.seconds:
            time = self.times.get(commit.model_id)
            if time is None:
                time = self.times[commit.model_id] = ModelTime()
            time.add(commit.rows_in, commit.seconds)
        if commit.keys:
            self.duplicate_keys += commit.keys.duplicates
            self.null_keys += commit.keys.nulls
        counts = dict.fromkeys(commit.notes, 0) | dict(commit.counts)
        for note, count in islice(counts.items(), _MAX_DISTINCT_NOTES):
            text = shorten(f"{commit.model_id}: {note}", _MAX_NOTE_CHARACTERS)
            if text in self.notes or len(self.notes) < _MAX_DISTINCT_NOTES:
                self.notes[text] = self.notes.get(text, 0) + count

    def all_notes(self) -> list[str]:
        return [counted_note(note, count) for note, count in sorted(self.notes.items())]


def read_commits(spec: JobSpec, store: ObjectStore, rules: ChecksumRules) -> Commits:
    """Return the job's commits.

    Lists everything below the job's prefixes, asks S3 for checksums, and reads the job's ledger.
    Memory is limited by the number of objects times models, however much a job has written.
    """
    pairs = Pairs(spec.committing_models, store.objects_of(spec), spec.output_layout)
    unexpected, totals = UnexpectedFiles(), _Totals()
    files = OutputFiles(Place(spec), pairs, store, unexpected, rules)
    committed = bytearray(len(pairs))
    """Whether a pair is committed, and with which outputs: see `_bits`."""
    problems: dict[int, str] = {}
    instances: dict[str, InstanceTimes] = {}
    skips = spec.fleet is not None and spec.fleet.unmatched == SKIP
    for pair, commit in read_ledger(Place(spec), pairs, store, unexpected, instances):
        # An attempt that was killed may have committed the object too. The newest commit that fits
        # the outputs in S3 counts.
        if committed[pair]:
            continue
        if problem := commit_problem(commit, pairs, pair, files, skips=skips):
            if len(problems) < _MAX_PROBLEMS:
                problems.setdefault(pair, problem)
            continue
        committed[pair] = _bits(commit)
        problems.pop(pair, None)
        totals.add(commit)
    _find_superfluous(pairs, files, committed, unexpected)
    missing = list(islice((pair for pair, bits in enumerate(committed) if not bits), _MAX_PROBLEMS))
    return Commits(
        expected=len(pairs),
        missing=tuple(_shown(pairs, pair, problems.get(pair, "no commit in the ledger")) for pair in missing),
        missing_count=committed.count(0),
        open_objects=_open_objects(pairs, committed),
        unexpected=tuple(unexpected.first),
        unexpected_count=unexpected.count,
        rows_in=totals.rows_in,
        rows_scored=totals.rows_scored,
        rows_quarantined=totals.rows_quarantined,
        rows_skipped=totals.rows_skipped,
        duplicate_keys=totals.duplicate_keys,
        null_keys=totals.null_keys,
        notes=_limit([*files.notes(), *totals.all_notes()]),
        times=totals.times,
        instances=instances,
    )


def count_commits(job: JobRecord, store: ObjectStore) -> int:
    """Return the number of the job's valid commits, for the record of a job that has not succeeded.

    Compares sizes, but no checksums. Returns the number in the record if the ledger cannot be read,
    because a job must be closed in any case.
    """
    if job.kind is ExecutionKind.TRAINING or not job.attempt:
        return job.commits
    try:
        return read_commits(
            store.job_spec(job.execution_id, job.job_id), store, ChecksumRules.without_checksums()
        ).valid
    except Exception:
        logger.exception("the job's commits could not be counted", job_id=job.job_id)
        return job.commits


_BITS: dict[layout.OutputKind, int] = {"predictions": 2, "quarantine": 4}


def _bits(commit: Commit) -> int:
    """Return 1 for a commit, and the bits of the outputs that it names."""
    return 1 + sum(_BITS[output.kind] for output in commit.outputs)


def _find_superfluous(pairs: Pairs, files: OutputFiles, committed: bytearray, unexpected: UnexpectedFiles) -> None:
    """Count the outputs that the commit of their object does not name.

    Readers would take the rows of such a quarantine file for quarantined, although they were
    scored. Files of an open object do not count: another attempt replaces them.
    """
    for pair, bits in enumerate(committed):
        # A shared output is the same for all models of the object, and counts once.
        is_first = pair % len(pairs.models) == 0
        if bits:
            for kind in get_args(layout.OutputKind):
                counts = is_first or not layout.is_shared_output(kind, pairs.output_layout)
                if counts and not bits & _BITS[kind] and files.size(kind, pair) is not None:
                    unexpected.add(layout.output_area(kind, pairs.output_layout), pairs.output_key(kind, pair))


def _open_objects(pairs: Pairs, committed: bytearray) -> tuple[str, ...]:
    models = len(pairs.models)
    return tuple(
        item.key for number, item in enumerate(pairs.objects) if 0 in committed[number * models : (number + 1) * models]
    )


def _shown(pairs: Pairs, pair: int, problem: str) -> str:
    return f"{pairs.model(pair).model_id}/{pairs.object(pair).key}: {shorten(problem, _MAX_PROBLEM_CHARACTERS)}"


def _limit(notes: list[str]) -> tuple[str, ...]:
    if len(notes) <= _MAX_NOTES:
        return tuple(notes)
    shown = _MAX_NOTES - 1
    return (*notes[:shown], f"and {len(notes) - shown:,} more notes, see the commits in the ledger")


def commit_problem(commit: Commit, pairs: Pairs, pair: int, files: OutputFiles, *, skips: bool) -> str:
    """Return why a commit does not count; empty when it does. `skips` says whether the job may skip rows."""
    model, item = pairs.model(pair), pairs.object(pair)
    if commit.etag != item.etag:
        return f"the commit is of another object with this key (ETag {commit.etag})"
    if commit.rows_skipped and not skips:
        return f"the commit says {commit.rows_skipped:,} rows were skipped, but only a fleet with unmatched 'skip' may"
    rows = commit.rows_in - commit.rows_skipped
    tolerated = tolerated_rows(model.tolerated_quarantine_fraction, rows)
    if commit.rows_quarantined > tolerated:
        return (
            f"{commit.rows_quarantined:,} of {rows:,} rows are in quarantine, "
            f"tolerated_quarantine_fraction {model.tolerated_quarantine_fraction:g} allows {tolerated:,}"
        )
    return _output_problem(commit, pairs, pair, files)


def _output_problem(commit: Commit, pairs: Pairs, pair: int, files: OutputFiles) -> str:
    kinds = [output.kind for output in commit.outputs]
    if len(kinds) != len(set(kinds)):
        return "the commit names an output twice"
    for output in commit.outputs:
        if problem := _file_problem(output, pairs, pair, files):
            return problem
    if commit.rows_scored and "predictions" not in kinds:
        return f"the commit says {commit.rows_scored:,} rows were scored but names no predictions"
    if bool(commit.rows_quarantined) != ("quarantine" in kinds):
        names = "a" if "quarantine" in kinds else "no"
        return f"the commit says {commit.rows_quarantined:,} rows were quarantined but names {names} quarantine"
    return ""


def _file_problem(output: OutputFile, pairs: Pairs, pair: int, files: OutputFiles) -> str:
    """Return how an output differs from its commit; empty when it does not."""
    key, area = pairs.output_key(output.kind, pair), layout.output_area(output.kind, pairs.output_layout)
    if output.key != key:
        return f"the commit names {area}{output.key}, not {area}{key}"
    name = shorten(f"{area}{key}", _MAX_NAME_CHARACTERS)
    found = files.size(output.kind, pair)
    if found is None:
        return f"{name} is not in S3"
    if found != output.bytes:
        return f"{name} has {found:,} bytes in S3, the commit says {output.bytes:,}"
    stored = files.checksum(output.kind, pair)
    if stored and stored != output.crc64nvme:
        return (
            f"{name} has the CRC64NVME {stored} in S3, the commit says {output.crc64nvme}: its content has changed "
            "since it was committed"
        )
    return ""
