"""Every S3 key but those of training and of spot capacity: see `training_layout` and `spot_layout`.

No other module builds one from text.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Literal

ARTIFACT_NAME = "model.tar.gz"
_SEGMENT = re.compile(r"([1-9][0-9]{0,8})-[0-9a-f]{32}\.jsonl")
_JOB_KEY = re.compile(r"(?:executions/([^/]+)/jobs|spot/([^/]+))/([^/]+)/")
_UNFINISHED = (".", ".unfinished")
_SLUG_CHARACTERS = 24


def dataset_prefix(dataset: str) -> str:
    """Return the prefix of a dataset's objects in the datasets bucket."""
    return f"{dataset}/"


def artifact_key(model_id: str, version: str) -> str:
    """Return an artifact's key in the models bucket, and its path in the container's models folder.

    >>> artifact_key("delays-ua", "3")
    'delays-ua/3/model.tar.gz'
    """
    return f"{model_id}/{version}/{ARTIFACT_NAME}"


OUTPUT_SUFFIXES = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl"}
"""Suffix of an output per format.

The object's name gets the suffix unless it already ends with it.
"""


def output_name(object_key: str, output_format: str = "parquet") -> str:
    """Return the name of an object's output.

    The plan refuses a dataset in which two objects have the same output name.

    >>> output_name("2026/07.csv.gz"), output_name("2026/07.parquet")
    ('2026/07.csv.gz.parquet', '2026/07.parquet')
    """
    suffix = OUTPUT_SUFFIXES[output_format]
    return object_key if object_key.endswith(suffix) else object_key + suffix


QUARANTINE_FORMAT = "parquet"
"""Format of quarantine files, regardless of the output format."""


def output_key(model_id: str, name: str) -> str:
    """Return the key of an output or a quarantine file, relative to its job's prefix.

    >>> output_key("delays-ua", output_name("07.csv"))
    'model_id=delays-ua/07.csv.parquet'
    """
    return f"model_id={model_id}/{name}"


def split_output_key(key: str) -> tuple[str, str]:
    """Return the model id and the name in an output's key; two empty texts for other keys.

    >>> split_output_key("model_id=delays-ua/2026/07.parquet"), split_output_key("07.parquet")
    (('delays-ua', '2026/07.parquet'), ('', ''))
    """
    model_id, slash, name = key.partition("/")
    start = output_key("", "").removesuffix("/")
    return (model_id.removeprefix(start), name) if slash and model_id.startswith(start) else ("", "")


def unfinished_name(name: str) -> str:
    """Return the name of an incomplete copy of a file, in the same folder.

    SageMaker may upload such a copy. Readers of tables skip names that begin with a dot.

    >>> unfinished_name("07.parquet")
    '.07.parquet.unfinished'
    """
    return f"{_UNFINISHED[0]}{name}{_UNFINISHED[1]}"


def finished_key(key: str) -> str | None:
    """Return the key of the finished file for the key of an incomplete copy; None for other keys.

    >>> finished_key("model_id=delays-ua/.07.parquet.unfinished"), finished_key("07.parquet")
    ('model_id=delays-ua/07.parquet', None)
    """
    folder, slash, name = key.rpartition("/")
    start, end = _UNFINISHED
    if not (name.startswith(start) and name.endswith(end)) or len(name) <= len(unfinished_name("")):
        return None
    return folder + slash + name.removeprefix(start).removesuffix(end)


EXECUTIONS_PREFIX = "executions/"


def execution_prefix(execution_id: str) -> str:
    return f"{EXECUTIONS_PREFIX}{execution_id}/"


def jobs_key(execution_id: str) -> str:
    """Return the key of the Map's items, a JSON list of `messages.JobPointer`."""
    return f"{execution_prefix(execution_id)}jobs.json"


def capacity_key(execution_id: str) -> str:
    """Return the key of the jobs that the planner has chosen: a `CapacityPlan`."""
    return f"{execution_prefix(execution_id)}capacity.json"


def summary_key(execution_id: str) -> str:
    return f"{execution_prefix(execution_id)}summary.json"


SNAPSHOT_NAME = "objects.jsonl"
"""File name of a snapshot: see `contract.job.snapshot`."""


def snapshot_key(execution_id: str, dataset: str, part: str = "") -> str:
    """Return the key of the snapshot that lists the objects of a dataset as the plan pinned them,
    or those of a part: see `contract.job.parts`.

    No other object's key begins with it, because the job's channel `snapshot` copies all such
    objects.

    >>> snapshot_key("nightly-1", "flights")
    'executions/nightly-1/snapshots/flights/objects.jsonl'
    >>> snapshot_key("nightly-1", "flights", "part-2-of-3")
    'executions/nightly-1/snapshots/flights/part-2-of-3/objects.jsonl'
    """
    return f"{_snapshot_prefix(execution_id, dataset, part)}{SNAPSHOT_NAME}"


def snapshot_manifest_key(execution_id: str, dataset: str, part: str = "") -> str:
    """Return the key of the manifest of all objects of a snapshot, which first attempts share."""
    return f"{_snapshot_prefix(execution_id, dataset, part)}objects{MANIFEST_SUFFIX}"


def _snapshot_prefix(execution_id: str, dataset: str, part: str) -> str:
    folder = f"{part}/" if part else ""
    return f"{execution_prefix(execution_id)}snapshots/{dataset}/{folder}"


def job_prefix(execution_id: str, job_id: str) -> str:
    return f"{execution_prefix(execution_id)}jobs/{job_id}/"


def job_of_key(key: str) -> tuple[str, str] | None:
    """Return the ids of the execution and the job below whose prefix a key is; None for other keys.

    >>> job_of_key(job_spec_key("nightly-1", "delays-ua")), job_of_key(summary_key("nightly-1"))
    (('nightly-1', 'delays-ua'), None)
    >>> job_of_key("spot/nightly-1/delays-ua/2/output")
    ('nightly-1', 'delays-ua')
    """
    found = _JOB_KEY.match(key)
    return (found[1] or found[2], found[3]) if found else None


def job_spec_key(execution_id: str, job_id: str) -> str:
    return f"{job_prefix(execution_id, job_id)}job.json"


MANIFEST_SUFFIX = ".manifest"
"""End of the keys of the manifests that list the objects of a job's inputs."""


def models_manifest_key(execution_id: str, job_id: str) -> str:
    return f"{job_prefix(execution_id, job_id)}models{MANIFEST_SUFFIX}"


def data_manifest_key(execution_id: str, job_id: str, attempt: int) -> str:
    """Return the key of the manifest of the objects that a later attempt scores: those that are not
    committed. The first one has the snapshot's."""
    return f"{job_prefix(execution_id, job_id)}attempt-{attempt}{MANIFEST_SUFFIX}"


def ledger_prefix(execution_id: str, job_id: str) -> str:
    return f"{job_prefix(execution_id, job_id)}ledger/"


def segment_name(commits: int, content: bytes) -> str:
    """Return the name of a segment with this number of commits, relative to the job's ledger.

    It follows from the content, so two instances or attempts never write different segments with
    one name.

    >>> segment_name(20, b"header and commits")
    '20-677a6359a9283831cc4797b6b6cfa177.jsonl'
    """
    return f"{commits}-{hashlib.sha256(content).hexdigest()[:32]}.jsonl"


def commits_in_segment(name: str) -> int | None:
    """Return the number of commits in a segment of this name; None for other names.

    >>> commits_in_segment("20-677a6359a9283831cc4797b6b6cfa177.jsonl"), commits_in_segment("a.json")
    (20, None)
    """
    found = _SEGMENT.fullmatch(name)
    return int(found[1]) if found else None


MAP_RUNS_PREFIX = "map-runs/"
"""Results of the children of distributed Maps, in the results bucket.

Only Step Functions writes and reads them.
"""


def map_runs_prefix(label: str) -> str:
    """Return the prefix of a Map's results: `<this>/<id of the Map Run>/manifest.json`.

    >>> map_runs_prefix("ScoreModels")
    'map-runs/ScoreModels'
    """
    return f"{MAP_RUNS_PREFIX}{label}"


UPLOADS_PREFIX = "uploads/"


def uploads_prefix(dataset: str) -> str:
    return f"{UPLOADS_PREFIX}{dataset}/"


def upload_manifest_key(dataset: str, batch_id: str) -> str:
    """Return the key of the `uploads.UploadManifest` that lists what an execution scores."""
    return f"{uploads_prefix(dataset)}{batch_id}.json"


TABLE_MANIFEST = "table-"
"""Prefix of the names of manifests that the command writes for a table's snapshot."""
TABLE_PART_MANIFEST = "table-part-"
"""The same for an older snapshot, or for a table that is only a folder of its dataset."""


def upload_part_key(dataset: str, part: str) -> str:
    """Return the key of the list of `uploads.ObjectVersion` that one call tries to claim for a
    window."""
    return f"{uploads_prefix(dataset)}parts/{part}.json"


def upload_share_key(dataset: str, part: str) -> str:
    """Return the key of the list of object versions that a part has claimed."""
    return f"{uploads_prefix(dataset)}parts/{part}.share.json"


def skipped_key(execution_id: str) -> str:
    """Return the key of the list of objects of its upload manifest that an execution skips, with
    reasons."""
    return f"{execution_prefix(execution_id)}skipped.json"


OUTPUT_PARTITIONS = ("dataset", "execution_id", "job_id", "model_id")
"""Hive partitions in the keys of predictions and quarantine, in order."""


def is_output_partition(name: str) -> bool:
    """Return whether a column of this name would have two values for readers of the outputs.

    Athena and Hive ignore the case of names.

    >>> is_output_partition("Dataset"), is_output_partition("data")
    (True, False)
    """
    return name.lower() in OUTPUT_PARTITIONS


LATEST_PREFIX = "latest/"
"""Manifests of the latest complete predictions: see `contract.table.latest_predictions`."""


def latest_key(dataset: str, model_id: str, fleet: str = "") -> str:
    """Return the key of the manifest of a model's or fleet's latest complete predictions.

    >>> latest_key("flights", "delays-ua"), latest_key("sales", "stores", fleet="stores")
    ('latest/dataset=flights/model_id=delays-ua.json', 'latest/dataset=sales/fleet=stores.json')
    """
    name = f"fleet={fleet}" if fleet else f"model_id={model_id}"
    return f"{LATEST_PREFIX}dataset={dataset}/{name}.json"


PREDICTIONS_PREFIX = "predictions/"
JOINED_PREFIX = "joined/"
FLEETS_PREFIX = "fleets/"
QUARANTINE_PREFIX = "quarantine/"
OUTPUT_PREFIXES = (PREDICTIONS_PREFIX, JOINED_PREFIX, FLEETS_PREFIX, QUARANTINE_PREFIX)
OutputKind = Literal["predictions", "quarantine"]
RequestedLayout = Literal["per_model", "joined"]
"""A layout that a request may ask for."""
OutputLayout = RequestedLayout | Literal["fleet"]
"""Outputs of a job: per model, or shared by all of its models.

A joined output has the predictions of all models for each row. A fleet's output has those of the
model that the row's route names.
"""
OUTPUT_AREAS: tuple[tuple[OutputKind, OutputLayout], ...] = (
    ("predictions", "per_model"),
    ("predictions", "joined"),
    ("predictions", "fleet"),
    ("quarantine", "per_model"),
)
"""The kinds and layouts whose prefixes differ."""
_PREFIX_OF_KIND: dict[OutputKind, str] = {"predictions": PREDICTIONS_PREFIX, "quarantine": QUARANTINE_PREFIX}
_PREFIX_OF_LAYOUT: dict[OutputLayout, str] = {"joined": JOINED_PREFIX, "fleet": FLEETS_PREFIX}
"""Prefixes of the predictions that the models of a job share."""


def job_outputs_prefix(
    kind: OutputKind, dataset: str, execution_id: str, job_id: str, output_layout: OutputLayout = "per_model"
) -> str:
    """Return the prefix of a job's predictions or quarantine, below which no other job can write.

    The folders are Hive partitions, so that engines read the outputs of all jobs as one table.

    >>> job_outputs_prefix("predictions", "flights", "nightly-1", "delays-ua")
    'predictions/dataset=flights/execution_id=nightly-1/job_id=delays-ua/'
    >>> job_outputs_prefix("predictions", "flights", "nightly-1", "delays-ua", "joined")
    'joined/dataset=flights/execution_id=nightly-1/job_id=delays-ua/'
    """
    return f"{executions_with_outputs_prefix(kind, dataset, output_layout)}{execution_id}/job_id={job_id}/"


def executions_with_outputs_prefix(kind: OutputKind, dataset: str, output_layout: OutputLayout = "per_model") -> str:
    """Return the common prefix of a dataset's outputs, up to the execution's id.

    >>> executions_with_outputs_prefix("quarantine", "flights")
    'quarantine/dataset=flights/execution_id='
    """
    return f"{output_area(kind, output_layout)}dataset={dataset}/execution_id="


def is_shared_output(kind: OutputKind, output_layout: OutputLayout) -> bool:
    """Return whether the models of a job share one output of this kind per object."""
    return kind == "predictions" and output_layout in _PREFIX_OF_LAYOUT


def output_area(kind: OutputKind, output_layout: OutputLayout) -> str:
    """Return the folder of the results bucket that has a job's outputs of this kind.

    >>> output_area("predictions", "fleet"), output_area("quarantine", "fleet")
    ('fleets/', 'quarantine/')
    """
    return _PREFIX_OF_LAYOUT[output_layout] if is_shared_output(kind, output_layout) else _PREFIX_OF_KIND[kind]


def output_prefixes(
    kind: OutputKind,
    dataset: str,
    execution_id: str,
    job_id: str,
    *,
    model_ids: Iterable[str],
    output_layout: OutputLayout,
) -> list[str]:
    """Return the prefixes of a job's outputs: one per model, or one if the models share it."""
    if is_shared_output(kind, output_layout):
        return [job_outputs_prefix(kind, dataset, execution_id, job_id, output_layout)]
    return [model_outputs_prefix(kind, dataset, execution_id, job_id, model_id) for model_id in model_ids]


def model_outputs_prefix(kind: OutputKind, dataset: str, execution_id: str, job_id: str, model_id: str) -> str:
    """Return the prefix of one model's predictions or quarantine in a job."""
    return job_outputs_prefix(kind, dataset, execution_id, job_id) + output_key(model_id, "")


def s3_uri(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"


def output_uri(bucket: str, prefix: str) -> str:
    """Return the URI of a prefix as destination of a job's output.

    It has no slash at the end. AWS documents such URIs only, and if a service added a slash of its
    own to ours, the keys would have two.

    >>> output_uri("results", "executions/nightly-1/jobs/delays-ua/ledger/")
    's3://results/executions/nightly-1/jobs/delays-ua/ledger'
    """
    return s3_uri(bucket, prefix.removesuffix("/"))


def sagemaker_job_name(stage: str, execution_arn: str, started_at: str, job_id: str, attempt: int) -> str:
    """Return a unique name for an attempt's SageMaker job, at most 63 characters long.

    The digest covers the start time: an execution name can be reused after 90 days, but a SageMaker
    job name cannot.
    """
    digest = hashlib.sha256("\n".join((execution_arn, started_at, job_id)).encode()).hexdigest()[:16]
    slug = "".join(character if character.isalnum() and character.isascii() else "-" for character in job_id)
    head = "-".join(part for part in f"{stage}-{slug[:_SLUG_CHARACTERS]}".split("-") if part)
    return f"{head}-{digest}-{attempt}"
