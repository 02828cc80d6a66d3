"""Compare a job's pinned objects with the commit markers and outputs in S3."""

from collections.abc import Mapping
from dataclasses import dataclass

from contract import layout
from contract.catalog.model_spec import ModelSpec, tolerated_rows
from contract.job.ledger import Marker
from contract.job.scoring_spec import JobSpec, PinnedObject
from lambdas.stage.buckets.object_store import ObjectStore

_PREFIX_OF_KIND = {"predictions": layout.PREDICTIONS_PREFIX, "quarantine": layout.QUARANTINE_PREFIX}


@dataclass(frozen=True)
class Commits:
    """The commits of a job. Row counts are of valid commits, and count a row once per model."""

    expected: int
    """One commit per pinned object and model."""
    missing: tuple[str, ...]
    """Commits that are missing or invalid, each as "<model id>/<object key>: <why>"."""
    open_objects: tuple[str, ...]
    """Keys of the pinned objects that at least one model has not committed, in the spec's order."""
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    duplicate_keys: int = 0
    null_keys: int = 0
    notes: tuple[str, ...] = ()
    """Distinct notes of the markers about loading the models, each as "<model id>: <note>"."""


_MAX_NOTES = 20
"""Maximum number of notes in a job record, which must stay small for a job with many models."""


def read_commits(spec: JobSpec, store: ObjectStore) -> Commits:
    """Return the job's commits. Reads its ledger in parallel and lists its outputs."""
    wanted = {layout.marker_key(model.model_id, item.key) for model in spec.models for item in spec.objects}
    listed = [entry.key for entry in store.ledger_objects(spec.execution_id, spec.job_id) if entry.key in wanted]
    markers = store.markers(spec.execution_id, spec.job_id, listed)
    sizes: dict[str, int] = {}
    for prefix in _output_prefixes(spec, markers):
        sizes.update(store.output_sizes(prefix))
    return check_commits(spec, markers, sizes)


def _output_prefixes(spec: JobSpec, markers: Mapping[str, Marker | str]) -> list[str]:
    """Return the prefixes of outputs that the markers name. Most jobs have no quarantine."""
    claimed = {
        (marker.model_id, output.kind)
        for marker in markers.values()
        if isinstance(marker, Marker)
        for output in marker.outputs
    }
    return [
        _PREFIX_OF_KIND[kind] + layout.output_key(spec.dataset, model_id, spec.execution_id, "")
        for model_id, kind in sorted(claimed)
    ]


def check_commits(spec: JobSpec, markers: Mapping[str, Marker | str], sizes: Mapping[str, int]) -> Commits:
    """Return the commits of every pinned object and model.

    `markers` are by ledger key. `sizes` are the sizes of the outputs in bytes, by full key.
    """
    missing: list[str] = []
    open_objects: list[str] = []
    committed: list[Marker] = []
    notes: dict[str, None] = {}
    for item in spec.objects:
        is_open = False
        for model in spec.models:
            marker = markers.get(layout.marker_key(model.model_id, item.key), "no marker in the ledger")
            problem = marker if isinstance(marker, str) else _problem(marker, spec, model, item, sizes)
            if problem:
                missing.append(f"{model.model_id}/{item.key}: {problem}")
                is_open = True
            elif isinstance(marker, Marker):
                committed.append(marker)
                notes.update((f"{marker.model_id}: {note}", None) for note in marker.notes)
        if is_open:
            open_objects.append(item.key)
    return Commits(
        expected=len(spec.objects) * len(spec.models),
        missing=tuple(missing),
        open_objects=tuple(open_objects),
        rows_in=sum(marker.rows_in for marker in committed),
        rows_scored=sum(marker.rows_scored for marker in committed),
        rows_quarantined=sum(marker.rows_quarantined for marker in committed),
        duplicate_keys=sum(marker.keys.duplicates for marker in committed if marker.keys),
        null_keys=sum(marker.keys.nulls for marker in committed if marker.keys),
        notes=_limit(sorted(notes)),
    )


def _limit(notes: list[str]) -> tuple[str, ...]:
    if len(notes) <= _MAX_NOTES:
        return tuple(notes)
    shown = _MAX_NOTES - 1
    return (*notes[:shown], f"and {len(notes) - shown:,} more notes, see the markers in the ledger")


def _problem(marker: Marker, spec: JobSpec, model: ModelSpec, item: PinnedObject, sizes: Mapping[str, int]) -> str:
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
    return _output_problem(marker, sizes)


def _output_problem(marker: Marker, sizes: Mapping[str, int]) -> str:
    for output in marker.outputs:
        found = sizes.get(_PREFIX_OF_KIND[output.kind] + output.key)
        if found is None:
            return f"{output.kind}/{output.key} is not in S3"
        if found != output.bytes:
            return f"{output.kind}/{output.key} has {found:,} bytes in S3, the marker says {output.bytes:,}"
    kinds = {output.kind for output in marker.outputs}
    if marker.rows_scored and "predictions" not in kinds:
        return f"the marker says {marker.rows_scored:,} rows were scored but names no predictions"
    if marker.rows_quarantined and "quarantine" not in kinds:
        return f"the marker says {marker.rows_quarantined:,} rows were quarantined but names no quarantine"
    return ""
