"""Stage 3 of the draft: check each model's image and artifact, and its columns in the dataset that
it scores."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from contract import layout
from contract.catalog.image_variants import ImageVariant
from contract.catalog.models import ModelVersion
from contract.dataset.input_options import InputOptions
from contract.dataset.partitions import partition_values
from contract.job.job_input import input_of
from contract.job.scoring_spec import PinnedObject
from contract.problems import Problem
from lambdas.dataset.archived import RESTORE
from lambdas.dataset.object_columns import columns_or_none, first_of, reader_of
from lambdas.dataset.parquet_footer import Column
from lambdas.planning.model_checks import check_columns, check_images
from lambdas.planning.scoring.check_tables import check_footers
from lambdas.planning.scoring.choose_models import Assignment
from lambdas.planning.scoring.pin_datasets import Snapshots
from lambdas.shown_text import list_first
from lambdas.stage.buckets.object_store import StoredArtifact
from lambdas.stage.deployment import Deployment
from lambdas.stage.parallel import in_parallel


def check_models(
    assignments: Sequence[Assignment],
    snapshots: Snapshots,
    deployed_images: Collection[ImageVariant],
    deployment: Deployment,
) -> list[Problem]:
    """Return the problems of the models with which their jobs would fail."""
    versions = [assignment.version for assignment in assignments]
    return [
        *check_images(versions, deployed_images),
        *_check_artifacts(versions, deployment),
        *_check_columns(assignments, snapshots, deployment),
    ]


def _check_artifacts(versions: Sequence[ModelVersion], deployment: Deployment) -> list[Problem]:
    def check(version: ModelVersion) -> list[Problem]:
        artifact = deployment.store.artifact(version.spec.model_id, version.spec.version)
        return check_artifact(version, artifact, deployment.settings.models_bucket)

    return [problem for problems in in_parallel(check, versions) for problem in problems]


def check_artifact(version: ModelVersion, artifact: StoredArtifact | None, models_bucket: str) -> list[Problem]:
    """Check that the artifact exists with the registered size and can be read.

    None means that the artifact does not exist.
    """
    spec = version.spec
    uri = layout.s3_uri(models_bucket, layout.artifact_key(spec.model_id, spec.version))
    field = f"model {spec.model_id!r} version {spec.version!r}: artifact"
    if artifact is None:
        expected = f"an object at {uri} that the functions may read"
        return [Problem(field, None, expected, "Upload it, or register the model again.")]
    if artifact.bytes != spec.artifact_bytes:
        expected = f"the {spec.artifact_bytes:,} bytes that were registered, at {uri}"
        remedy = "It was replaced: find out by whom, and restore the earlier version of the object."
        return [Problem(field, f"{artifact.bytes:,} bytes", expected, remedy)]
    if artifact.archive:
        expected = f"an object that can be read at once, at {uri}"
        remedy = f"{RESTORE.replace('them', 'it')}, or disable the model."
        return [Problem(field, artifact.archive, expected, remedy)]
    return []


def _check_columns(assignments: Sequence[Assignment], snapshots: Snapshots, deployment: Deployment) -> list[Problem]:
    """Compare the columns that each model needs with the first object of its dataset.

    An object that cannot be read is skipped here. Its job reports it and fails alone, as for any
    other damaged object.
    """
    objects = snapshots.objects
    firsts = {dataset: first for dataset, pinned in objects.items() if (first := first_of(pinned)) is not None}
    reads = {dataset: reader_of(dataset, first, deployment.store) for dataset, first in firsts.items()}

    def reading(assignment: Assignment) -> tuple[str, InputOptions]:
        """Return the dataset and the input options that determine the columns.

        Columns of Parquet do not depend on the model's options.
        """
        is_parquet = assignment.dataset in firsts and firsts[assignment.dataset].key.endswith(".parquet")
        return assignment.dataset, InputOptions() if is_parquet else input_of(assignment.version.spec).options

    def read(reading: tuple[str, InputOptions]) -> Sequence[Column] | None:
        dataset, options = reading
        return columns_or_none(dataset, firsts[dataset], options, reads[dataset])

    # Each object is read once per distinct reading, however many models share it.
    readings = list(dict.fromkeys(found for item in assignments if (found := reading(item))[0] in firsts))
    columns = dict(zip(readings, in_parallel(read, readings), strict=True))
    needed = {dataset for dataset, _ in readings}
    scored = {name: first for name, first in firsts.items() if name in needed}
    problems = check_footers(scored, reads, snapshots.unproven)
    unpartitioned: dict[tuple[str, tuple[str, ...]], Mapping[str, str]] = {}
    for assignment in assignments:
        version, dataset, names = assignment.version, assignment.dataset, assignment.version.spec.partition_columns
        if (dataset, names) not in unpartitioned:
            unpartitioned[dataset, names] = keys_without_partitions(objects.get(dataset, ()), names)
        problems += check_partitions(version, dataset, unpartitioned[dataset, names])
        own = columns.get(reading(assignment))
        if own is not None:
            # Columns that a key lacks are reported by `check_partitions`. A file may have them too.
            from_key = [Column(name, None) for name in names]
            problems += check_columns(version, dataset, firsts[dataset].key, [*from_key, *own])
            problems += check_folder_names(version, dataset, firsts[dataset].key, own)
    return problems


def check_folder_names(version: ModelVersion, dataset: str, key: str, columns: Iterable[Column]) -> list[Problem]:
    """Refuse input columns that the output would keep and that have the name of a folder in its key.

    Readers of the output could not merge both. The job checks the other objects.
    """
    spec = version.spec
    kept = spec.key_columns if spec.columns == "keys" else [*spec.key_columns, *(column.name for column in columns)]
    names = sorted({name for name in kept if layout.is_output_partition(name)})
    if not names:
        return []
    field = f"model {spec.model_id!r} version {spec.version!r} on dataset {dataset!r}: columns"
    expected = f"no output column named like a folder of its key ({', '.join(layout.OUTPUT_PARTITIONS)}, in any case)"
    remedy = "" if set(names) & set(spec.key_columns) else ", or register a version with columns 'keys'"
    return [Problem(field, f"{key} with {list_first(names)}", expected, f"Rename them in the dataset{remedy}.")]


def keys_without_partitions(objects: Iterable[PinnedObject], names: Sequence[str]) -> dict[str, str]:
    """Return the keys that lack values for these partition columns, each with the reason."""
    reasons: dict[str, str] = {}
    for item in objects if names else ():
        try:
            partition_values(item.key, names)
        except ValueError as error:
            reasons[item.key] = str(error)
    return reasons


def check_partitions(version: ModelVersion, dataset: str, reasons: Mapping[str, str]) -> list[Problem]:
    """Refuse a model whose partition columns some keys lack. `reasons` come from
    `keys_without_partitions`."""
    if not reasons:
        return []
    spec = version.spec
    field = f"model {spec.model_id!r} version {spec.version!r} on dataset {dataset!r}: partition_columns"
    names = ", ".join(f"'{name}=…/'" for name in spec.partition_columns)
    first = next(iter(reasons.values()))
    found = f"{len(reasons):,} objects whose keys lack them: {list_first(list(reasons))}"
    return [Problem(field, found, f"only objects whose keys have the parts {names}", f"The first one: {first}.")]
