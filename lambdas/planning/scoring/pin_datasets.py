"""Stage 2 of the draft: list each dataset once and pin its objects."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contract import layout
from contract.job.scoring_spec import PinnedObject
from contract.problems import Problem
from contract.workflow.scoring_request import MAX_MODELS_PER_JOB
from lambdas.dataset.archived import check_archived
from lambdas.dataset.pinning import is_data, pin_objects
from lambdas.planning.scoring.choose_models import Assignment, Choice
from lambdas.planning.scoring.upload_manifest import Uploads
from lambdas.stage.buckets.object_store import StoredObject
from lambdas.stage.deployment import Deployment
from lambdas.stage.parallel import in_parallel


@dataclass(frozen=True)
class Snapshots:
    """The objects that are scored, by dataset, with the size and ETag of the listing."""

    objects: Mapping[str, tuple[PinnedObject, ...]]
    problems: tuple[Problem, ...]


def pin_datasets(choice: Choice, uploads: Uploads | None, deployment: Deployment) -> Snapshots:
    """Pin the objects of each dataset, or only those that were uploaded. Each dataset is listed
    once, in parallel."""
    listings: Iterable[Sequence[StoredObject]]
    if uploads is not None:
        listings = [uploads.objects]
    else:
        listings = in_parallel(deployment.store.dataset_objects, choice.datasets)
    bucket = deployment.settings.datasets_bucket
    prefix_bytes = _max_output_prefix_bytes(choice.assignments)
    objects: dict[str, tuple[PinnedObject, ...]] = {}
    problems: list[Problem] = []
    for dataset, listing in zip(choice.datasets, listings, strict=True):
        objects[dataset], found = pin_objects(dataset, listing, bucket, prefix_bytes)
        problems += found
        data = [entry for entry in listing if is_data(entry.key)]
        problems += check_archived(dataset, data, deployment.store, deployment.clock().timestamp())
    return Snapshots(objects, tuple(problems))


def _max_output_prefix_bytes(assignments: Iterable[Assignment]) -> int:
    """Return an upper bound, in bytes, for what a job's output keys add to the object's key."""
    id_length = max((len(assignment.version.spec.model_id) for assignment in assignments), default=0)
    job_id = "m" * id_length + f".and-{MAX_MODELS_PER_JOB - 1}-more"
    prefix = layout.model_outputs_prefix("predictions", "d" * 63, "e" * 80, job_id, "m" * id_length)
    suffix_length = max(len(layout.marker_key("", "")), *map(len, layout.OUTPUT_SUFFIXES.values()))
    return len(prefix) + suffix_length
