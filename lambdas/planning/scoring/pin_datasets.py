"""Stage 2 of the draft: list each dataset once and pin its objects."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from contract import layout
from contract.dataset.object_keys import is_data
from contract.job.fleet import MODEL_VERSION_COLUMN
from contract.job.limits import MAX_MODELS_PER_JOB
from contract.job.parts import JobPart
from contract.job.snapshot import Snapshot
from contract.problems import Problem
from lambdas.dataset.archived import check_archived
from lambdas.dataset.pinning import pin_objects
from lambdas.dataset.table_files import check_tables
from lambdas.planning.scoring.assignments import Assignment
from lambdas.planning.scoring.choose_models import Choice
from lambdas.planning.scoring.tables import Refusing, refusing_models, tables_of
from lambdas.planning.scoring.upload_manifest import Uploads
from lambdas.shown_text import list_first
from lambdas.stage.buckets.stored_object import StoredObject
from lambdas.stage.deployment import Deployment
from lambdas.stage.parallel import in_parallel


@dataclass(frozen=True)
class Snapshots:
    """The objects that are scored, with the size and ETag of the listing."""

    by_dataset: Mapping[str, Snapshot]
    problems: tuple[Problem, ...]
    unproven: Refusing = field(default_factory=dict)
    """Models that refuse tables, by dataset of which no key tells that it is one."""
    others: Mapping[str, int] = field(default_factory=dict)
    """Number of data objects that are left out because they are not in `only`, by dataset."""


def pin_datasets(
    choice: Choice,
    uploads: Uploads | None,
    deployment: Deployment,
    *,
    only: Mapping[str, Container[str]] | None = None,
) -> Snapshots:
    """Pin the objects of each dataset, or only those that were uploaded. Each dataset is listed
    once, in parallel.

    `only` has the keys of the objects by dataset, if an earlier execution has decided about them.
    """
    listings: Iterable[Sequence[StoredObject]]
    if uploads is not None:
        listings = [uploads.objects]
    else:
        listings = in_parallel(deployment.store.dataset_objects, choice.datasets)
    refusing = {} if only is not None else refusing_models(choice.readers, uploads)
    unproven: dict[str, Sequence[str]] = {}
    bucket = deployment.settings.datasets_bucket
    prefix_bytes = _max_output_prefix_bytes(choice.readers)
    snapshots: dict[str, Snapshot] = {}
    problems: list[Problem] = []
    others: dict[str, int] = {}
    of_fleets = {fleet.dataset for fleet in choice.fleets}
    for dataset, listed in zip(choice.datasets, listings, strict=True):
        listing = listed
        if only is not None:
            listing = [entry for entry in listed if entry.key in only[dataset]]
            others[dataset] = sum(is_data(entry.key) for entry in listed) - len(listing)
        tables = [] if only is not None else tables_of(dataset, listing, uploads, refusing, deployment.store)
        files = [entry for entry in listing if not any(table.is_metadata(entry.key) for table in tables)]
        pinned, found = pin_objects(dataset, files, bucket, prefix_bytes)
        snapshots[dataset] = Snapshot(dataset, bucket, pinned)
        problems += [*check_tables(dataset, tables, refusing.get(dataset, ())), *found]
        problems += _check_folder_names(dataset, [item.key for item in pinned], is_of_fleet=dataset in of_fleets)
        data = [entry for entry in files if is_data(entry.key)]
        problems += check_archived(dataset, data, deployment.store, deployment.clock().timestamp())
        if not tables and dataset in refusing:
            unproven[dataset] = refusing[dataset]
    return Snapshots(snapshots, tuple(problems), unproven, others)


def _check_folder_names(dataset: str, keys: Iterable[str], *, is_of_fleet: bool) -> list[Problem]:
    """Refuse folders such as `model_id=7/`: the output would have the same partition twice, or, that
    of a fleet, a column of this name."""
    refused = (*layout.OUTPUT_PARTITIONS, *((MODEL_VERSION_COLUMN,) if is_of_fleet else ()))
    wrong = [
        key
        for key in keys
        if any("=" in part and part.partition("=")[0].lower() in refused for part in key.split("/")[:-1])
    ]
    if not wrong:
        return []
    expected = f"no folders named {', '.join(f'{name}=…' for name in refused)}, in any case"
    remedy = "Outputs have folders or columns of these names already. Rename those of the dataset."
    return [Problem(f"dataset {dataset!r}: object key", list_first(wrong), expected, remedy)]


def _max_output_prefix_bytes(assignments: Iterable[Assignment]) -> int:
    """Return an upper bound, in bytes, for what a job's output keys add to the object's key."""
    id_length = max((len(assignment.version.spec.model_id) for assignment in assignments), default=0)
    job_id = JobPart("m" * id_length + f".and-{MAX_MODELS_PER_JOB - 1}-more", 100, 100).id
    prefix = layout.model_outputs_prefix("predictions", "d" * 63, "e" * 80, job_id, "m" * id_length)
    suffix_length = max(map(len, layout.OUTPUT_SUFFIXES.values()))
    return len(prefix) + suffix_length
