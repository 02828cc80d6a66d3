"""Which models an execution scores, on which objects, in which jobs: decisions without any I/O.

Each function returns what it found wrong beside its result, so that one try reports every problem.
"""

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from contract import layout
from contract.catalog.images import ImageVariant, image_of
from contract.catalog.models import Compute, Model, ModelVersion
from contract.dataset.columns import holds_every_value
from contract.dataset.formats import EXTENSIONS_TEXT, format_of
from contract.dataset.input_options import InputOptions
from contract.job.job_input import input_of
from contract.job.scoring_spec import Feature, JobSpec, ModelSpec, PinnedObject
from contract.names import check_object_key
from contract.problems import Problem
from contract.status import JobStatus
from contract.table.records import JobRecord
from contract.workflow.messages import JobPointer
from contract.workflow.scoring_request import ExecutionRequest, ModelFilter
from lambdas.dataset.pinning import is_data
from lambdas.dataset.parquet_footer import Column
from lambdas.plan_execution.reading import groups_of_one_reading, has_text
from lambdas.stage.object_store import StoredObject

_LONGEST_KEY_BYTES = 1_024
_ENDINGS = (*layout.OUTPUT_SUFFIXES.values(), ".json")
"""What an object's outputs and its marker have behind its key."""
_LONGEST_NAME_BYTES = 255 - max(map(len, _ENDINGS)) - len("..unfinished")
"""Of one part of a key: it becomes a file name in the container, with one of the endings, and one while written."""
_SHOWN_KEYS = 10
MAX_COMMITS = 100_000
"""Of one job: each commit is a marker that VerifyOutput reads, at an estimated 4 ms of CPU."""
_LIKENED_IDS = 50


@dataclass(frozen=True)
class PlannedJob:
    """One job of the plan, before it is written down."""

    job_id: str
    dataset: str
    models: tuple[ModelSpec, ...]
    objects: tuple[PinnedObject, ...]
    compute: Compute
    max_attempts: int

    @property
    def input_bytes(self) -> int:
        return sum(item.size for item in self.objects)

    @property
    def image(self) -> ImageVariant:
        """The image that serves all of its models."""
        return image_of(self.models[0].framework, self.models[0].accelerator)

    def spec(self, execution_id: str, dataset_bucket: str) -> JobSpec:
        return JobSpec(execution_id, self.job_id, self.dataset, dataset_bucket, self.models, self.objects)

    def record(self, execution_id: str, created_at: str, image_uri: str = "") -> JobRecord:
        return JobRecord(
            execution_id=execution_id,
            job_id=self.job_id,
            status=JobStatus.PENDING,
            dataset=self.dataset,
            model_ids=tuple(model.model_id for model in self.models),
            model_versions=tuple(model.version for model in self.models),
            object_count=len(self.objects),
            input_bytes=self.input_bytes,
            compute=self.compute,
            max_attempts=self.max_attempts,
            created_at=created_at,
            image_uri=image_uri,
        )

    def pointer(self, execution_id: str) -> JobPointer:
        return JobPointer(execution_id, self.job_id, attempt=1)


def choose_by_id(
    model_ids: Sequence[str], known: Mapping[str, Model], catalog_ids: Sequence[str]
) -> tuple[list[Model], list[Problem]]:
    """The models of these ids. `catalog_ids` are all ids there are, to say which one may have been meant."""
    chosen: list[Model] = []
    problems: list[Problem] = []
    for index, model_id in enumerate(model_ids):
        field = f"models[{index}]"
        model = known.get(model_id)
        if model is None:
            # Finding close ids takes time for each pair, and a request has room for tens of thousands of wrong ones.
            near = catalog_ids if len(problems) < _LIKENED_IDS else ()
            problems.append(Problem(field, model_id, "the id of a registered model", _meant(model_id, near)))
        elif not model.enabled:
            remedy = f"Enable it with `fleetscore models enable {model_id}`, or leave it out."
            problems.append(Problem(field, model_id, "a model that is enabled", remedy))
        else:
            chosen.append(model)
    return chosen, problems


def _meant(model_id: str, catalog_ids: Sequence[str]) -> str:
    close = difflib.get_close_matches(model_id, catalog_ids, n=3)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return "List the registered models with `fleetscore models list`."


def choose_from_catalog(wanted: ModelFilter | None, catalog: Sequence[Model]) -> tuple[list[Model], list[Problem]]:
    """Every enabled model, or those that carry all the tags of the filter."""
    enabled = [model for model in catalog if model.enabled]
    if not enabled:
        found = f"{len(catalog):,} models, none of them enabled" if catalog else "an empty catalog"
        remedy = "Register one with `fleetscore models register`."
        return [], [Problem("models", found, "at least one enabled model", remedy)]
    if wanted is None:
        return enabled, []
    chosen = [model for model in enabled if _carries(model, wanted.tags)]
    if chosen:
        return chosen, []
    disabled = [model.model_id for model in catalog if not model.enabled and _carries(model, wanted.tags)]
    remedy = f"These models carry them but are disabled: {_listed(disabled)}." if disabled else _tag_remedy(enabled)
    return [], [Problem("models.tags", dict(wanted.tags), "tags that at least one enabled model carries", remedy)]


def _carries(model: Model, tags: Mapping[str, str]) -> bool:
    return all(model.tags.get(name) == value for name, value in tags.items())


def _tag_remedy(models: Iterable[Model]) -> str:
    tags = sorted({f"{name}={value}" for model in models for name, value in model.tags.items()})
    return f"Tags in the catalog: {_listed(tags)}." if tags else "No enabled model carries any tag."


def check_versions(
    models: Sequence[Model], versions: Mapping[str, ModelVersion]
) -> tuple[list[ModelVersion], list[Problem]]:
    """The current version of each model."""
    problems = [
        Problem(
            f"model {model.model_id!r}: current_version",
            model.current_version,
            "a version that is registered",
            f"Register it with `fleetscore models register` or disable the model with "
            f"`fleetscore models disable {model.model_id}`.",
        )
        for model in models
        if model.model_id not in versions
    ]
    return [versions[model.model_id] for model in models if model.model_id in versions], problems


def fit_to_uploads(
    request: ExecutionRequest, versions: Sequence[ModelVersion]
) -> tuple[list[ModelVersion], list[Problem]]:
    """The models that score uploads to `request.dataset`: those that are named, else those whose dataset it is."""
    if isinstance(request.models, tuple):
        return list(versions), []
    fitting = [version for version in versions if version.dataset == request.dataset]
    if fitting or not versions:
        return fitting, []
    expected = f"at least one chosen model whose own dataset is {request.dataset!r}"
    remedy = "Register one, or name the models in the request of the setting `uploads`."
    return [], [Problem("models", f"{len(versions):,} models of other datasets", expected, remedy)]


def check_artifact(version: ModelVersion, size: int | None, models_bucket: str) -> list[Problem]:
    """Whether the artifact is there, and the one that was registered. `size` in bytes, None when there is none."""
    spec = version.spec
    uri = layout.s3_uri(models_bucket, layout.artifact_key(spec.model_id, spec.version))
    field = f"model {spec.model_id!r} version {spec.version!r}: artifact"
    if size is None:
        expected = f"an object at {uri} that the functions may read"
        return [Problem(field, None, expected, "Upload it, or register the model again.")]
    if size != spec.artifact_bytes:
        expected = f"the {spec.artifact_bytes:,} bytes that were registered, at {uri}"
        return [Problem(field, f"{size:,} bytes", expected, "Register the changed artifact as a new version.")]
    return []


def check_columns(
    version: ModelVersion, dataset: str, key: str, columns: Sequence[Column], way_out: str = "register a version"
) -> list[Problem]:
    """Whether an object has the columns that a model needs, in types that it can be read from.

    `way_out` is how other columns can be said to be needed.
    """
    spec = version.spec
    field = f"model {spec.model_id!r} version {spec.version!r} on dataset {dataset!r}: features"
    # The job refuses a column that is there twice; which of the two is meant here nobody can tell.
    types = {column.name: column.type for column in columns}
    wanted = [(feature.name, feature.type) for feature in spec.features]
    wanted += [(name, "key column") for name in spec.key_columns if name not in {feature for feature, _ in wanted}]
    problems: list[Problem] = []
    missing = [f"{name} ({kind})" for name, kind in wanted if name not in types]
    if missing:
        found = f"{key} without {_listed(missing)}"
        expected = "an object with all columns that the model needs"
        remedy = f"{_near(spec, types)}Add them to the dataset, or {way_out} for other columns."
        problems.append(Problem(field, found, expected, remedy))
    unsuited = [
        f"{feature.name} is {types[feature.name]}, not {feature.type}{'' if feature.nullable else ' without nulls'}"
        for feature in spec.features
        if not _suits(feature, types.get(feature.name))
    ]
    if unsuited:
        found = f"{key} where {_listed(unsuited)}"
        expected = "types whose every value fits in the type that the model's record says"
        problems.append(Problem(field, found, expected, f"Convert the columns, or {way_out} with their types."))
    return problems


def _suits(feature: Feature, found: str | None) -> bool:
    if found is None:
        return True
    return holds_every_value(feature.type, found) and (feature.nullable or found != "null")


def _near(spec: ModelSpec, types: Mapping[str, str | None]) -> str:
    lower = {name.lower(): name for name in types}
    names = [name for name in (*(f.name for f in spec.features), *spec.key_columns) if name not in types]
    near = [f"{lower[name.lower()]} for {name}" for name in names if name.lower() in lower]
    return f"Names must be equal in case too; it has {_listed(near)}. " if near else ""


def check_images(versions: Sequence[ModelVersion], deployed: Collection[ImageVariant]) -> list[Problem]:
    """Refuse models whose framework is in none of the deployed images: their jobs could only fail."""
    problems: list[Problem] = []
    for version in versions:
        image = image_of(version.spec.framework, version.spec.accelerator)
        if image not in deployed:
            # An accelerator may ask for another image than the framework does.
            kind = "framework" if image == image_of(version.spec.framework) else "accelerator"
            expected = f"one that the deployed images have ({', '.join(deployed)}); it is in {image!r}"
            remedy = f"Add {image!r} to the setting image_variants and deploy again, or disable the model."
            field = f"model {version.spec.model_id!r}: {kind}"
            problems.append(Problem(field, getattr(version.spec, kind), expected, remedy))
    return problems


def pin_objects(
    dataset: str, listing: Iterable[StoredObject], datasets_bucket: str, longest_output_prefix: int
) -> tuple[tuple[PinnedObject, ...], list[Problem]]:
    """The objects of a dataset that are scored, as they are now.

    `longest_output_prefix` is how many bytes an output's key has before the object's own key.
    """
    data = [entry for entry in listing if is_data(entry.key)]
    field = f"dataset {dataset!r}"
    if not data:
        uri = layout.s3_uri(datasets_bucket, layout.dataset_prefix(dataset))
        expected = f"at least one object with data below {uri}"
        return (), [Problem(field, "no objects", expected, "Upload the dataset, or name another one.")]
    problems: list[Problem] = []
    foreign = [entry.key for entry in data if format_of(entry.key) is None]
    if foreign:
        remedy = (
            f"These do not: {_listed(foreign)}. Convert or remove them, or let their names begin with '_', then they "
            "are passed over."
        )
        found = f"{len(foreign):,} of {len(data):,} objects in a format that is not known"
        problems.append(Problem(field, found, f"only objects that end in {EXTENSIONS_TEXT}", remedy))
    pinned: list[PinnedObject] = []
    for entry in data:
        unsafe = check_object_key(f"{field}: object key", entry.key)
        unsafe = unsafe or _check_length(field, entry.key, _LONGEST_KEY_BYTES - longest_output_prefix)
        problems.extend(unsafe)
        if not unsafe:
            pinned.append(PinnedObject(entry.key, entry.size, entry.etag))
    problems += _check_folders(field, [item.key for item in pinned])
    return tuple(pinned), problems


def _check_folders(field: str, keys: Sequence[str]) -> list[Problem]:
    """Objects whose names, or those of their outputs and markers, are also folders of others, or others themselves.

    `a.csv` and `a.csv.parquet` in one dataset would both have the output `a.csv.parquet`.
    """
    files = {key + ending: key for key in keys for ending in ("", *_ENDINGS)}
    folders = {str(folder) for key in keys for folder in PurePosixPath(key).parents}
    twice = {key for output_format in layout.OUTPUT_SUFFIXES for key in _of_one_output(keys, output_format)}
    both = sorted({files[name] for name in folders & files.keys()} | twice)
    if not both:
        return []
    expected = (
        f"no object whose key, alone or with one of {', '.join(_ENDINGS)} behind it, is a folder of other objects, and "
        "none that would have the same output as another"
    )
    return [Problem(f"{field}: object key", _listed(both), expected, "Give these objects other names.")]


def _of_one_output(keys: Sequence[str], output_format: str) -> list[str]:
    names = Counter(layout.output_name(key, output_format) for key in keys)
    return [key for key in keys if names[layout.output_name(key, output_format)] > 1]


def _check_length(field: str, key: str, longest: int) -> list[Problem]:
    size = len(key.encode())
    if size > longest:
        expected = f"at most {longest} bytes, so that its predictions' key fits into {_LONGEST_KEY_BYTES:,} bytes"
        return [Problem(f"{field}: object key", key, expected, "Give the object a shorter name.")]
    if max(len(part.encode()) for part in key.split("/")) > _LONGEST_NAME_BYTES:
        expected = f"at most {_LONGEST_NAME_BYTES} bytes between two '/', because it becomes a file name"
        return [Problem(f"{field}: object key", key, expected, "Give the object a shorter name.")]
    return []


def plan_jobs(
    request: ExecutionRequest,
    versions: Sequence[ModelVersion],
    objects: Mapping[str, tuple[PinnedObject, ...]],
    stage_default: Compute,
) -> list[PlannedJob]:
    """Form the jobs, the one with most work first, so that the longest does not start last.

    Models share a job only when they share dataset, compute, attempts, image and one reading of the objects. Compute:
    the request's wish goes over the model's, and that over the stage's.
    """
    wish = Compute(instance_type=request.instance_type, instance_count=request.instance_count)
    alike: dict[tuple[str, Compute, int, ImageVariant, InputOptions, tuple[str, ...]], list[ModelSpec]] = {}
    for version in sorted(versions, key=lambda version: version.spec.model_id):
        dataset = request.dataset or version.dataset
        compute = _fit(wish.over(version.compute).over(stage_default), len(objects[dataset]))
        spec = version.spec
        if request.tolerated_quarantine_fraction is not None:
            spec = replace(spec, tolerated_quarantine_fraction=request.tolerated_quarantine_fraction)
        image, reading = image_of(spec.framework, spec.accelerator), input_of(spec)
        alike.setdefault(
            (dataset, compute, version.max_attempts, image, reading.options, reading.partition_columns), []
        ).append(spec)
    size = request.models_per_job or 1
    jobs = [
        PlannedJob(_job_id(group), dataset, group, objects[dataset], compute, max_attempts)
        for (dataset, compute, max_attempts, _, _, partition_columns), models in alike.items()
        for group in groups_of_one_reading(models, size, is_typed=bool(partition_columns) or has_text(objects[dataset]))
    ]
    return sorted(jobs, key=lambda job: (-job.input_bytes * len(job.models), job.job_id))


def check_commits(jobs: Sequence[PlannedJob]) -> list[Problem]:
    """Refuse a job whose ledger is too long to read in 15 minutes: it would fail after all was scored."""
    problems = []
    for job in jobs:
        commits = len(job.objects) * len(job.models)
        if commits > MAX_COMMITS:
            value = f"{len(job.objects):,} objects for {len(job.models):,} models"
            remedy = "Lower models_per_job, join small objects to larger ones, or split the dataset."
            expected = f"at most {MAX_COMMITS:,} objects times models"
            problems.append(Problem(f"job {job.job_id!r}", value, expected, remedy))
    return problems


def _fit(compute: Compute, object_count: int) -> Compute:
    # Objects are sharded whole: an instance beyond their number would idle and cost.
    return Compute(instance_count=min(compute.instance_count or 1, object_count)).over(compute)


def _job_id(models: Sequence[ModelSpec]) -> str:
    first = models[0].model_id
    return first if len(models) == 1 else f"{first}.and-{len(models) - 1}-more"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_KEYS])
    return shown if len(names) <= _SHOWN_KEYS else f"{shown} and {len(names) - _SHOWN_KEYS:,} more"
