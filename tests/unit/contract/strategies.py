"""Hypothesis strategies for valid messages, records and specs of the contract."""

import string
from typing import Any

from hypothesis import strategies as st

from contract.catalog.model_fields import Feature
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT, METHODS_OF_FORMAT
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute, CurrentChange, Model, ModelVersion
from contract.dataset.feature_types import ARROW_TYPES
from contract.dataset.input_options import InputOptions
from contract.job.ledger import Commit, KeyReport, OutputFile
from contract.job.scoring_spec import JobSpec, PinnedObject, ScoringOptions, SnapshotRef
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus, WindowStatus
from contract.table.records import AttemptRecord, ExecutionRecord, JobRecord
from contract.table.upload_records import UploadWindow
from contract.triggers.uploads import ObjectVersion, UploadManifest
from contract.workflow.messages import (
    AttemptFailure,
    AttemptPlan,
    ExecutionOutcome,
    ExecutionPlan,
    FailureDecision,
    JobPointer,
    JobResult,
    PlanInput,
    SummaryInput,
)
from contract.workflow.summary import ExecutionSummary, JobSummary

_ENDS = string.ascii_lowercase + string.digits

names = st.builds(
    lambda first, middle, last: first + middle + last,
    st.sampled_from(_ENDS),
    st.text(_ENDS + "-_", max_size=61),
    st.sampled_from(_ENDS),
)
versions = names
texts = st.text(st.characters(codec="utf-8"), max_size=50)
counts = st.integers(0, 2**40)
percentages = st.floats(0, 100, allow_nan=False).map(lambda value: round(value, 6))
parts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc",), exclude_characters="/"), min_size=1, max_size=20
).filter(lambda part: part not in (".", ".."))
object_keys = st.lists(parts, min_size=1, max_size=4).map("/".join)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
requests = st.dictionaries(texts, json_values, max_size=3)
instance_types = st.sampled_from(["ml.m5.large", "ml.c5.9xlarge", "ml.g4dn.xlarge"])

computes = st.builds(
    Compute,
    st.none() | instance_types,
    st.none() | st.integers(1, 100),
    st.none() | st.integers(1, 16_384),
    st.none() | st.integers(1, 777_600),
    spot=st.none() | st.booleans(),
)
pinned_objects = st.builds(PinnedObject, object_keys, counts, texts)
features = st.builds(Feature, texts, st.sampled_from(sorted(ARROW_TYPES)), st.booleans())


marks = st.sampled_from(",;|\t '^")
input_options = st.builds(
    InputOptions,
    csv_delimiter=marks,
    csv_header=st.booleans(),
    csv_quote=st.sampled_from(["", '"']),
    csv_escape=st.sampled_from(["", "\\"]),
    csv_escape_unquoted=st.booleans(),
    csv_decimal=st.sampled_from([".", ","]),
    csv_encoding=st.sampled_from(["utf-8", "cp1252", "utf-16"]),
    true_values=st.just(("ja",)),
    null_values=st.lists(texts, unique=True, max_size=3).map(tuple),
    text_null_values=st.lists(texts, unique=True, max_size=3).map(tuple),
)
partition_names = st.text(st.characters(codec="utf-8", exclude_characters="=/"), min_size=1, max_size=10)


@st.composite
def model_specs(draw: st.DrawFn, model_id: str | None = None) -> ModelSpec:
    format_ = draw(st.sampled_from(sorted(METHODS_OF_FORMAT)))
    key_columns = draw(st.lists(texts, unique=True, max_size=2))
    fields: dict[str, Any] = {
        "model_id": model_id or draw(names),
        "version": draw(versions),
        "artifact_sha256": draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
        "artifact_bytes": draw(counts),
        "framework": FRAMEWORK_OF_FORMAT[format_],
        "format": format_,
        "model_file": draw(object_keys),
        "method": draw(st.sampled_from(sorted(METHODS_OF_FORMAT[format_]))),
        "features": tuple(draw(st.lists(features, min_size=1, max_size=3, unique_by=lambda item: item.name))),
        "key_columns": tuple(key_columns),
        "output_columns": tuple(draw(st.lists(texts, unique=True, max_size=2))),
        "columns": draw(st.sampled_from(["all", "keys"])) if key_columns else "all",
        "framework_version": draw(texts),
        "input": draw(input_options),
        "partition_columns": tuple(draw(st.lists(partition_names, unique=True, max_size=2))),
        "tolerated_quarantine_fraction": draw(st.floats(0, 1).map(lambda value: round(value, 6))),
        "output_format": draw(st.sampled_from(["parquet", "csv", "jsonl"])),
        "custom_code": format_ == "custom" or draw(st.booleans()),
        "trusted_types": tuple(draw(st.lists(texts, max_size=2))) if format_ == "sklearn-skops" else (),
    }
    return ModelSpec(**fields)


snapshot_refs = st.builds(
    SnapshotRef,
    uri=texts,
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    objects=st.integers(1, 1 << 40),
    bytes=counts,
)
job_specs = st.builds(
    JobSpec,
    execution_id=names,
    job_id=names,
    dataset=names,
    dataset_bucket=texts,
    models=st.lists(model_specs(), min_size=1, max_size=2, unique_by=lambda model: model.model_id).map(tuple),
    snapshot=snapshot_refs,
    options=st.builds(ScoringOptions, st.integers(1, 10_000_000)),
)
outputs = st.builds(OutputFile, st.sampled_from(["predictions", "quarantine"]), object_keys, counts, texts)


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    scored, quarantined = draw(counts), draw(counts)
    found = tuple(draw(st.lists(outputs, max_size=2)))
    item = draw(pinned_objects)
    return Commit(
        draw(names),
        item.key,
        item.etag,
        scored + quarantined,
        scored,
        quarantined,
        found,
        draw(texts),
        draw(st.none() | st.builds(KeyReport, counts, counts, counts)),
    )


plans = st.builds(ExecutionPlan, names, texts, texts, counts, counts, percentages)
kinds = st.none() | st.sampled_from(FailureKind)
job_records = st.builds(
    JobRecord,
    execution_id=names,
    job_id=names,
    status=st.sampled_from(JobStatus),
    dataset=names,
    model_ids=st.lists(names, max_size=2).map(tuple),
    model_versions=st.lists(versions, max_size=2).map(tuple),
    object_count=counts,
    input_bytes=counts,
    compute=computes,
    max_attempts=counts,
    attempt=counts,
    reason=texts,
    failure_kind=kinds,
)
attempt_records = st.builds(
    AttemptRecord,
    execution_id=names,
    job_id=names,
    attempt=st.integers(1, 999),
    status=st.sampled_from(AttemptStatus),
    sagemaker_job_name=texts,
    object_count=counts,
    instance_type=texts,
    instance_count=counts,
    started_at=texts,
    failure_kind=kinds,
    reason=texts,
)
execution_records = st.builds(
    ExecutionRecord,
    execution_id=names,
    execution_arn=texts,
    status=st.sampled_from(ExecutionStatus),
    started_at=texts,
    request_json=texts,
    label=texts,
    plan=st.none() | plans,
    reason=texts,
    jobs_succeeded=counts,
)
tags = st.dictionaries(texts, texts, max_size=3)
changes = st.builds(CurrentChange, versions, texts, texts, texts)
models = st.builds(
    Model,
    names,
    versions,
    st.booleans(),
    tags,
    texts,
    st.none() | versions,
    st.lists(changes, max_size=3).map(tuple),
)
model_versions = st.builds(
    ModelVersion,
    spec=model_specs(),
    dataset=names,
    compute=computes,
    max_attempts=st.integers(1, 10),
    registered_at=texts,
    registered_by=texts,
    tags=tags,
    source=texts,
)

job_summaries = st.builds(JobSummary, seconds=st.floats(0, 1e6), failure_kind=kinds)
object_versions = st.builds(ObjectVersion, object_keys, texts, texts, counts, texts)
upload_manifests = st.builds(
    UploadManifest,
    names,
    st.sampled_from(["marker", "window"]),
    st.lists(object_versions, max_size=2).map(tuple),
    st.lists(object_versions, max_size=2).map(tuple),
    texts,
    st.lists(texts, max_size=2).map(tuple),
)
messages: st.SearchStrategy[Any] = st.one_of(
    object_versions,
    upload_manifests,
    st.builds(PlanInput, names, texts, texts, json_values),
    plans,
    st.builds(JobPointer, names, names, counts),
    st.builds(AttemptPlan, cluster=st.dictionaries(texts, texts, max_size=3)),
    st.builds(AttemptFailure, names, names, counts, st.fixed_dictionaries({"Error": texts}, optional={"Cause": texts})),
    st.builds(FailureDecision, names, names, counts, st.booleans(), counts, st.sampled_from(FailureKind), texts),
    st.builds(JobResult, names),
    st.builds(SummaryInput, names, texts, texts, json_values),
    st.builds(ExecutionOutcome, st.sampled_from(ExecutionStatus), texts, texts),
    st.builds(
        ExecutionSummary,
        status=st.sampled_from(ExecutionStatus),
        request=json_values,
        jobs=st.lists(job_summaries, max_size=2).map(tuple),
    ),
    job_specs,
    commits(),
)
upload_windows = st.builds(
    UploadWindow, names, counts, st.sampled_from(WindowStatus), texts, texts, texts, texts, counts
)
table_records: st.SearchStrategy[Any] = st.one_of(
    job_records, attempt_records, execution_records, models, model_versions, upload_windows
)
