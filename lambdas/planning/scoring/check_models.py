"""Stage 3 of the draft: check each model's image and artifact, and its columns in the dataset that
it scores."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from contract import layout
from contract.catalog.image_variants import ImageVariant
from contract.catalog.model_fields import DEFAULT_OUTPUT_COLUMN
from contract.catalog.models import ModelVersion
from contract.dataset.formats import format_of
from contract.dataset.input_options import InputOptions
from contract.job.job_input import JobInput, input_of
from contract.job.joined import check_input_names, known_names
from contract.job.scoring_spec import PinnedObject
from contract.problems import Problem
from lambdas.dataset.archived import RESTORE
from lambdas.dataset.parquet_footer import Column
from lambdas.dataset.pinning import keys_without_partitions
from lambdas.dataset.samples import Sample, read_sample, sample_candidates
from lambdas.dataset.table_files import FoundTable, check_tables
from lambdas.planning.model_checks import check_columns, check_images
from lambdas.planning.scoring.assignments import Assignment, ChosenFleet
from lambdas.planning.scoring.pin_datasets import Snapshots
from lambdas.shown_text import list_first
from lambdas.stage.buckets.dataset_objects import StoredArtifact
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.deployment import Deployment
from lambdas.stage.parallel import in_parallel


def check_models(
    assignments: Sequence[Assignment],
    fleets: Sequence[ChosenFleet],
    snapshots: Snapshots,
    deployed_images: Collection[ImageVariant],
    deployment: Deployment,
    *,
    output_layout: layout.OutputLayout = "per_model",
) -> list[Problem]:
    """Return the problems of the models with which their jobs would fail."""
    versions = [assignment.version for assignment in assignments]
    members = [member for fleet in fleets for member in fleet.members]
    # The models of a fleet agree in what they read, so the fleet stands for them.
    readers = [*assignments, *(fleet.assignment for fleet in fleets)]
    return [
        *check_images([*versions, *members], deployed_images),
        *_check_artifacts([*versions, *members], deployment),
        *_check_columns(readers, snapshots, deployment, output_layout),
        *(_check_joined_names(assignments, snapshots) if output_layout == "joined" else ()),
    ]


def _check_artifacts(versions: Sequence[ModelVersion], deployment: Deployment) -> list[Problem]:
    keys = [layout.artifact_key(version.spec.model_id, version.spec.version) for version in versions]
    found = deployment.store.artifacts(keys)
    bucket = deployment.settings.models_bucket
    checks = (check_artifact(version, found.get(key), bucket) for version, key in zip(versions, keys, strict=True))
    return [problem for problems in checks for problem in problems]


def check_artifact(version: ModelVersion, artifact: StoredArtifact | None, models_bucket: str) -> list[Problem]:
    """Check that the artifact exists with the registered size and can be read.

    None means that the artifact does not exist.
    """
    spec = version.spec
    uri = layout.s3_uri(models_bucket, layout.artifact_key(spec.model_id, spec.version))
    field = f"model {spec.model_id!r} version {spec.version!r}: artifact"
    if artifact is None:
        expected = f"an object at {uri}"
        return [Problem(field, "no object", expected, "Restore the deleted object, or register the model again.")]
    if artifact.bytes != spec.artifact_bytes:
        expected = f"the {spec.artifact_bytes:,} bytes that were registered, at {uri}"
        remedy = "It was replaced: find out by whom, and restore the earlier version of the object."
        return [Problem(field, f"{artifact.bytes:,} bytes", expected, remedy)]
    if artifact.archive:
        expected = f"an object that can be read at once, at {uri}"
        remedy = f"{RESTORE.replace('them', 'it')}, or disable the model."
        return [Problem(field, artifact.archive, expected, remedy)]
    return []


def _check_columns(
    assignments: Sequence[Assignment],
    snapshots: Snapshots,
    deployment: Deployment,
    output_layout: layout.OutputLayout,
) -> list[Problem]:
    """Compare the columns that each model needs with a few objects of its dataset.

    An object that cannot be read is skipped here. Its job reports it and fails alone, as for any
    other damaged object.
    """
    objects = {dataset: snapshot.objects for dataset, snapshot in snapshots.by_dataset.items()}
    candidates = {dataset: sample_candidates(pinned) for dataset, pinned in objects.items()}
    readings = [
        [_reading(assignment, chosen) for chosen in candidates.get(assignment.dataset, ())]
        for assignment in assignments
    ]
    # Each object is read once per distinct reading, however many models share it.
    distinct = list(dict.fromkeys(reading for found in readings for reading in found))
    samples = dict(zip(distinct, in_parallel(lambda item: item.read(deployment.store), distinct), strict=True))
    unpartitioned: dict[tuple[str, tuple[str, ...]], Mapping[str, str]] = {}
    problems: list[Problem] = []
    for assignment, found in zip(assignments, readings, strict=True):
        version, dataset, names = assignment.version, assignment.dataset, assignment.version.spec.partition_columns
        if (dataset, names) not in unpartitioned:
            unpartitioned[dataset, names] = keys_without_partitions(objects.get(dataset, ()), names)
        problems += check_partitions(assignment, unpartitioned[dataset, names])
        for sample in [samples[reading] for reading in found]:
            if isinstance(sample, Problem):
                problems += [] if sample in problems else [sample]
            elif sample is not None:
                # Columns that a key lacks are reported by `check_partitions`.
                from_key = [Column(name, None) for name in names]
                # A file may have them too, and its type is known.
                field = f"{assignment.name} on dataset {dataset!r}"
                columns = [*from_key, *sample.columns]
                problems += check_columns(version, field, sample.key, columns, assignment.alternative)
                problems += check_folder_names(assignment, sample.key, sample.columns)
                problems += check_added_names(assignment, sample.key, sample.columns)
                is_joined = output_layout == "joined" and not assignment.added_columns
                if is_joined and version.spec.columns == "all":
                    field = f"model {version.spec.model_id!r} on dataset {dataset!r}: {sample.key}"
                    problems += check_input_names(version.spec, [column.name for column in sample.columns], field)
                if sample.is_iceberg and dataset in snapshots.unproven:
                    table = FoundTable("iceberg", "", sample.key)
                    problems += [
                        found_table
                        for found_table in check_tables(dataset, [table], snapshots.unproven[dataset])
                        if found_table not in problems
                    ]
    return problems


def _check_joined_names(assignments: Sequence[Assignment], snapshots: Snapshots) -> list[Problem]:
    """Refuse columns of a joined output that are named like folders `name=value/` of the dataset.

    The output's key has them too, and readers of the output take them for columns.
    """
    folders: dict[str, set[str]] = {}
    problems = []
    for assignment in assignments:
        dataset, spec = assignment.dataset, assignment.version.spec
        if dataset not in folders:
            parents = {item.key.rpartition("/")[0] for item in snapshots.by_dataset[dataset].objects}
            parts = {part for parent in parents for part in parent.split("/") if "=" in part}
            folders[dataset] = {part.partition("=")[0].lower() for part in parts}
        if clashes := [name for name in known_names(spec) if name.lower() in folders[dataset]]:
            field = f"{assignment.name} on dataset {dataset!r}: prediction columns"
            expected = "other names than the folders of the dataset, because output_layout is 'joined'"
            remedy = "Rename the folders, or score with output_layout 'per_model'."
            problems.append(Problem(field, clashes, expected, remedy))
    return problems


def check_folder_names(assignment: Assignment, key: str, columns: Iterable[Column]) -> list[Problem]:
    """Refuse input columns that the output would keep and that have the name of a folder in its key.

    Readers of the output could not merge both. The job checks the other objects.
    """
    spec = assignment.version.spec
    kept = spec.key_columns if spec.columns == "keys" else [*spec.key_columns, *(column.name for column in columns)]
    names = sorted({name for name in kept if layout.is_output_partition(name)})
    if not names:
        return []
    field = f"{assignment.name} on dataset {assignment.dataset!r}: columns"
    expected = f"no output column named like a folder of its key ({', '.join(layout.OUTPUT_PARTITIONS)}, in any case)"
    remedy = "" if set(names) & set(spec.key_columns) else ", or register a version with columns 'keys'"
    return [Problem(field, f"{key} with {list_first(names)}", expected, f"Rename them in the dataset{remedy}.")]


def check_added_names(assignment: Assignment, key: str, columns: Iterable[Column]) -> list[Problem]:
    """Refuse input columns that a fleet's output would keep, and that have the name of a column that it adds."""
    spec = assignment.version.spec
    if not assignment.added_columns or spec.columns == "keys":
        return []
    predictions = spec.output_columns or (() if spec.is_labelled else (DEFAULT_OUTPUT_COLUMN,))
    added = {*assignment.added_columns, *predictions, spec.row_number_column}
    names = sorted({column.name for column in columns if column.name in added})
    if not names:
        return []
    field = f"{assignment.name} on dataset {assignment.dataset!r}: columns"
    expected = f"other names than the columns that the output adds ({', '.join(sorted(added - {''}))})"
    remedy = "Rename them in the dataset, or register the fleet's models with columns 'keys'."
    return [Problem(field, f"{key} with {list_first(names)}", expected, remedy)]


class _Reading(NamedTuple):
    """Objects of a dataset, one of which is read, and all that determines the columns found in it."""

    dataset: str
    candidates: tuple[PinnedObject, ...]
    options: InputOptions
    needed: tuple[frozenset[str], ...]

    def read(self, store: ObjectStore) -> Sample | Problem | None:
        return read_sample(self.dataset, self.candidates, JobInput(self.options, needed=self.needed), store)


def _reading(assignment: Assignment, candidates: tuple[PinnedObject, ...]) -> _Reading:
    """Return how a model reads these objects, whose keys have the same extension."""
    wanted = input_of(assignment.version.spec)
    kind = format_of(candidates[0].key, wanted.options.format)
    if kind is None:
        return _Reading(assignment.dataset, candidates, wanted.options, wanted.needed)
    # Columns of Parquet do not depend on the model's options.
    options = InputOptions(format="parquet") if kind.name == "parquet" else wanted.options
    return _Reading(assignment.dataset, candidates, options, ())


def check_partitions(assignment: Assignment, reasons: Mapping[str, str]) -> list[Problem]:
    """Refuse a model whose partition columns some keys lack. `reasons` come from
    `keys_without_partitions`."""
    if not reasons:
        return []
    spec = assignment.version.spec
    field = f"{assignment.name} on dataset {assignment.dataset!r}: partition_columns"
    names = ", ".join(f"'{name}=…/'" for name in spec.partition_columns)
    first = next(iter(reasons.values()))
    found = f"{len(reasons):,} objects whose keys lack them: {list_first(list(reasons))}"
    return [Problem(field, found, f"only objects whose keys have the parts {names}", f"The first one: {first}.")]
