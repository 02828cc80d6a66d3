"""Compare a job's pinned objects with the commit markers and all other files of its output in S3."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, get_args

from contract import layout
from contract.catalog.model_spec import ModelSpec, tolerated_rows
from contract.job.ledger import Marker
from contract.job.scoring_spec import JobSpec, PinnedObject
from lambdas.errors import LISTED_FILES, MAX_COUNTED_FILES
from lambdas.shown_text import shorten
from lambdas.stage.buckets.object_store import ObjectStore, StoredObject
from lambdas.stage.parallel import in_parallel

MAX_MARKER_BYTES = 65_536
"""Largest marker that is read, in bytes. The container's markers have a few kilobytes."""
_MAX_PROBLEM_CHARACTERS = 300
_MAX_NOTES = 20
"""Maximum number of notes in a job record, which must stay small for a job with many models."""
_MAX_DISTINCT_NOTES = 1_000
_MAX_NOTE_CHARACTERS = 1_000

Area = Literal["predictions", "quarantine", "ledger"]
"""One of the three prefixes of a job's output."""
_NO_MARKER = "no marker in the ledger"


@dataclass(frozen=True)
class Commits:
    """The commits of a job. Row counts are of valid commits, and count a row once per model."""

    expected: int
    """One commit per pinned object and model."""
    missing: tuple[str, ...]
    """Commits that are missing or invalid, each as "<model id>/<object key>: <why>"."""
    open_objects: tuple[str, ...]
    """Keys of the pinned objects that at least one model has not committed, in the snapshot's order."""
    unexpected: tuple[str, ...]
    """The first files that no commit names and no other attempt can replace, each as
    "<area>/<key below the job's prefix>"."""
    unexpected_count: int
    """Number of such files. The listings end soon after `MAX_COUNTED_FILES`."""
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    duplicate_keys: int = 0
    null_keys: int = 0
    notes: tuple[str, ...] = ()
    """Distinct notes of the markers, each as "<model id>: <note>", with the sum of its counts."""


@dataclass
class _Unexpected:
    """Counts unexpected files, and keeps the first."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, area: Area, key: str) -> None:
        self.count += 1
        if len(self.first) < LISTED_FILES:
            self.first.append(f"{area}/{key}")


@dataclass
class _Totals:
    """Sums over the valid commits."""

    rows_in: int = 0
    rows_scored: int = 0
    rows_quarantined: int = 0
    duplicate_keys: int = 0
    null_keys: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    """Distinct notes; the number of values that a note is about, 0 if it has none."""

    def add(self, marker: Marker) -> None:
        self.rows_in += marker.rows_in
        self.rows_scored += marker.rows_scored
        self.rows_quarantined += marker.rows_quarantined
        if marker.keys:
            self.duplicate_keys += marker.keys.duplicates
            self.null_keys += marker.keys.nulls
        counts = dict.fromkeys(marker.notes, 0) | dict(marker.counts)
        for note, count in islice(counts.items(), _MAX_DISTINCT_NOTES):
            text = shorten(f"{marker.model_id}: {note}", _MAX_NOTE_CHARACTERS)
            if text in self.notes or len(self.notes) < _MAX_DISTINCT_NOTES:
                self.notes[text] = self.notes.get(text, 0) + count

    def all_notes(self) -> list[str]:
        return [f"{note}: {count:,} values" if count else note for note, count in sorted(self.notes.items())]


class _JobFiles:
    """The files of a job's output that have a name of an output or marker, and their sizes in bytes.

    The names follow from the spec, so that a forged marker cannot make a file expected. Memory is
    limited by the number of commits, however many files there are.
    """

    def __init__(
        self, spec: JobSpec, objects: Sequence[PinnedObject], store: ObjectStore, unexpected: _Unexpected
    ) -> None:
        self._sizes: dict[Area, dict[str, int]] = {}
        for area in get_args(Area):
            names = {_key(area, model, item) for model in spec.models for item in objects}
            listing = store.results_below(_prefix(area, spec))
            self._sizes[area] = dict(_expected(area, listing, names, unexpected))

    def size(self, area: Area, model: ModelSpec, item: PinnedObject) -> int | None:
        """Return the size of a file; None when it is not in S3."""
        return self._sizes[area].get(_key(area, model, item))


def read_commits(spec: JobSpec, store: ObjectStore) -> Commits:
    """Return the job's commits. Lists everything below its prefixes, and reads its markers in
    parallel."""
    unexpected, totals = _Unexpected(), _Totals()
    objects = store.objects_of(spec)
    files = _JobFiles(spec, objects, store, unexpected)
    pairs = [(item, model) for item in objects for model in spec.models]

    def read(pair: tuple[PinnedObject, ModelSpec]) -> Marker | str:
        item, model = pair
        size = files.size("ledger", model, item)
        if size is None:
            return _NO_MARKER
        if size > MAX_MARKER_BYTES:
            return f"its marker has {size:,} bytes, at most {MAX_MARKER_BYTES:,} are read"
        return store.marker(spec.execution_id, spec.job_id, layout.marker_key(model.model_id, item.key))

    missing: list[str] = []
    open_objects: dict[str, None] = {}
    for (item, model), marker in zip(pairs, in_parallel(read, pairs), strict=True):
        problem = marker if isinstance(marker, str) else _problem(marker, spec, model, item, files)
        if problem or isinstance(marker, str):
            missing.append(f"{model.model_id}/{item.key}: {shorten(problem, _MAX_PROBLEM_CHARACTERS)}")
            open_objects[item.key] = None
            continue
        totals.add(marker)
        named = {output.kind for output in marker.outputs}
        for kind in get_args(layout.OutputKind):
            # A file of an open object is replaced when another attempt scores the object. This one
            # stays: readers would take its rows for quarantined, although they were scored.
            if kind not in named and files.size(kind, model, item) is not None:
                unexpected.add(kind, _key(kind, model, item))
    return Commits(
        expected=len(pairs),
        missing=tuple(missing),
        open_objects=tuple(open_objects),
        unexpected=tuple(unexpected.first),
        unexpected_count=unexpected.count,
        rows_in=totals.rows_in,
        rows_scored=totals.rows_scored,
        rows_quarantined=totals.rows_quarantined,
        duplicate_keys=totals.duplicate_keys,
        null_keys=totals.null_keys,
        notes=_limit(totals.all_notes()),
    )


def _prefix(area: Area, spec: JobSpec) -> str:
    if area == "ledger":
        return layout.ledger_prefix(spec.execution_id, spec.job_id)
    return layout.job_outputs_prefix(area, spec.dataset, spec.execution_id, spec.job_id)


def _key(area: Area, model: ModelSpec, item: PinnedObject) -> str:
    """Return the only key, below the job's prefix, that a model's file of an object may have."""
    if area == "ledger":
        return layout.marker_key(model.model_id, item.key)
    output_format = layout.QUARANTINE_FORMAT if area == "quarantine" else model.output_format
    return layout.output_key(model.model_id, layout.output_name(item.key, output_format))


def _expected(
    area: Area, listing: Iterable[StoredObject], names: Collection[str], unexpected: _Unexpected
) -> Iterator[tuple[str, int]]:
    """Yield key and size of the files with these names, and count all others as unexpected."""
    for found in listing:
        if found.key in names:
            yield found.key, found.size
        elif not _is_harmless(found, names):
            unexpected.add(area, found.key)
            if unexpected.count > MAX_COUNTED_FILES:
                return


def _is_harmless(found: StoredObject, names: Collection[str]) -> bool:
    """Return whether a file is an incomplete copy of an output, which a killed attempt may leave, or
    a folder placeholder, which no container can write."""
    is_placeholder = found.size == 0 and (not found.key or found.key.endswith("/"))
    return is_placeholder or layout.finished_key(found.key) in names


def _limit(notes: list[str]) -> tuple[str, ...]:
    if len(notes) <= _MAX_NOTES:
        return tuple(notes)
    shown = _MAX_NOTES - 1
    return (*notes[:shown], f"and {len(notes) - shown:,} more notes, see the markers in the ledger")


def _problem(marker: Marker, spec: JobSpec, model: ModelSpec, item: PinnedObject, files: _JobFiles) -> str:
    """Return why the marker does not commit this object for this model; empty when it does."""
    if (marker.execution_id, marker.job_id, marker.model_id) != (spec.execution_id, spec.job_id, model.model_id):
        return f"the marker is of job {marker.job_id!r} of execution {marker.execution_id!r}"
    if marker.model_version != model.version:
        return f"the marker is of version {marker.model_version!r}, not {model.version!r}"
    if marker.object != item:
        return f"the marker is of another object ({marker.object.size:,} bytes, ETag {marker.object.etag})"
    tolerated = tolerated_rows(model.tolerated_quarantine_fraction, marker.rows_in)
    if marker.rows_quarantined > tolerated:
        return (
            f"{marker.rows_quarantined:,} of {marker.rows_in:,} rows are in quarantine, "
            f"tolerated_quarantine_fraction {model.tolerated_quarantine_fraction:g} allows {tolerated:,}"
        )
    return _output_problem(marker, model, item, files)


def _output_problem(marker: Marker, model: ModelSpec, item: PinnedObject, files: _JobFiles) -> str:
    kinds = [output.kind for output in marker.outputs]
    if len(kinds) != len(set(kinds)):
        return "the marker names an output twice"
    for output in marker.outputs:
        key, found = _key(output.kind, model, item), files.size(output.kind, model, item)
        if output.key != key:
            return f"the marker names {output.kind}/{output.key}, not {output.kind}/{key}"
        if found != output.bytes:
            there = "is not in S3" if found is None else f"has {found:,} bytes in S3, the marker says {output.bytes:,}"
            return f"{output.kind}/{output.key} {there}"
    if marker.rows_scored and "predictions" not in kinds:
        return f"the marker says {marker.rows_scored:,} rows were scored but names no predictions"
    if bool(marker.rows_quarantined) != ("quarantine" in kinds):
        names = "a" if "quarantine" in kinds else "no"
        return f"the marker says {marker.rows_quarantined:,} rows were quarantined but names {names} quarantine"
    return ""
