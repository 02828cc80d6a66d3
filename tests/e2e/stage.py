"""A deployed stage in the embedded AWS, and datasets and models for the tests to put into it."""

import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cli.documents.model_document import ModelDocument
from cli.stage.catalog.catalog import Catalog
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment, find_deployment
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.executions import Executions
from cli.views.executions.progress import watch
from contract import codec, layout
from contract.catalog.model_fields import Feature
from contract.job.ledger import Commit, read_segment
from contract.workflow.summary import ExecutionSummary
from embedded.server.embedded_aws import EmbeddedAws

FEATURES = (Feature("age", "double"), Feature("visits", "int64", nullable=False), Feature("spend", "double"))


@dataclass(frozen=True)
class Stage:
    """A stage in the embedded AWS, accessed through the modules of the command."""

    aws: EmbeddedAws
    deployment: Deployment
    connection: Connection
    folder: Path
    _clients: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def client(self, service: str) -> Any:
        """Return a client, which is made once per service: that takes as long as several requests."""
        if service not in self._clients:
            self._clients[service] = self.aws.endpoint.client(service)
        return self._clients[service]

    @cached_property
    def executions(self) -> Executions:
        return Executions(self.connection, self.deployment)

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog(self.connection, self.deployment)

    def put_dataset(self, dataset: str, objects: Mapping[str, pa.Table | bytes]) -> None:
        s3 = self.client("s3")
        for key, content in objects.items():
            body = content if isinstance(content, bytes) else parquet(content)
            s3.put_object(Bucket=self.deployment.datasets_bucket, Key=layout.dataset_prefix(dataset) + key, Body=body)

    def register(self, model_id: str, model: Any, *, dataset: str, **fields: Any) -> None:
        """Register a model: an estimator, or the bytes of an ONNX graph."""
        path = self.folder / f"{model_id}.tar.gz"
        name, format_ = write_artifact(path, model)
        document = ModelDocument(
            model_id=model_id,
            artifact=str(path),
            dataset=dataset,
            **{
                "format": format_,
                "model_file": name,
                "method": "predict" if format_ == "onnx" else "predict_proba",
                "features": FEATURES,
                "key_columns": ("row",),
                **fields,
            },
        )
        self.catalog.register(document)

    def run(self, request: Mapping[str, Any], name: str | None = None) -> Snapshot:
        """Start an execution, wait for its end, and return its snapshot."""
        execution_id = self.executions.start(json.dumps(request), name)
        return self.watch(execution_id)

    def watch(self, execution_id: str) -> Snapshot:
        """Wait for the end of an execution, and return its snapshot.

        Its records are read only after its end, because reads take processor time from the execution.
        """
        wait_for(
            lambda: self.executions.workflow_status(execution_id) not in ("RUNNING", "PENDING_REDRIVE"),
            f"{execution_id} has ended",
            seconds=900,
        )
        return watch(self.executions, execution_id, None, seconds_between_reads=0.2)

    def start_unchecked(self, text: str, name: str) -> Snapshot:
        """Start an execution without checking its input first, as the console does."""
        self.client("stepfunctions").start_execution(
            stateMachineArn=self.deployment.state_machine_arn, name=name, input=text
        )
        return self.watch(name)

    @contextmanager
    def changed_workflow(self, change: Callable[[dict[str, Any]], object]) -> Iterator[None]:
        """Let executions that start meanwhile have a definition that `change` has changed."""
        workflows, machine = self.client("stepfunctions"), self.deployment.state_machine_arn
        deployed = workflows.describe_state_machine(stateMachineArn=machine)["definition"]
        definition = json.loads(deployed)
        change(definition)
        workflows.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
        try:
            yield
        finally:
            workflows.update_state_machine(stateMachineArn=machine, definition=deployed)

    def summary(self, execution_id: str) -> ExecutionSummary:
        """Return the summary of an execution. It is written shortly after the records of a stopped one are closed."""
        bucket, key = self.deployment.results_bucket, layout.summary_key(execution_id)

        def read() -> bytes | None:
            try:
                body: bytes = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
            except self.client("s3").exceptions.NoSuchKey:
                return None
            return body

        return codec.loads(ExecutionSummary, wait_for(read, f"{key} is written"))

    def result_keys(self, prefix: str) -> list[str]:
        pages = (
            self.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=self.deployment.results_bucket, Prefix=prefix)
        )
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def commits(self, execution_id: str, job_id: str) -> list[Commit]:
        """Return the commits of a job, ordered by model and object."""
        prefix = layout.ledger_prefix(execution_id, job_id)
        found: list[Commit] = []
        for key in self.result_keys(prefix):
            content = self.client("s3").get_object(Bucket=self.deployment.results_bucket, Key=key)["Body"].read()
            found += read_segment(key.removeprefix(prefix), content).commits()
        return sorted(found, key=lambda commit: (commit.model_id, commit.object))

    def scored(self, execution_id: str, job_id: str) -> list[str]:
        """Return the objects that instances have scored for a job. Segments of kept commits name no instance."""
        prefix = layout.ledger_prefix(execution_id, job_id)
        found: set[str] = set()
        for key in self.result_keys(prefix):
            content = self.client("s3").get_object(Bucket=self.deployment.results_bucket, Key=key)["Body"].read()
            segment = read_segment(key.removeprefix(prefix), content)
            found.update(commit.object for commit in segment.commits() if segment.header.host)
        return sorted(found)

    def predictions(
        self, dataset: str, model_id: str, execution_id: str, job_id: str | None = None
    ) -> dict[str, pa.Table]:
        """Return the predictions of a model in an execution, by object key.

        Unless `job_id` is given, the job has no other models.
        """
        prefix = layout.model_outputs_prefix("predictions", dataset, execution_id, job_id or model_id, model_id)
        s3 = self.client("s3")

        def read(key: str) -> pa.Table:
            body = s3.get_object(Bucket=self.deployment.results_bucket, Key=key)["Body"].read()
            return pq.read_table(pa.BufferReader(body))

        keys = self.result_keys(prefix)
        with ThreadPoolExecutor(4) as pool:
            return dict(zip([key.removeprefix(prefix) for key in keys], pool.map(read, keys), strict=True))

    def processing_jobs(self, execution_id: str) -> list[dict[str, Any]]:
        """Return the DescribeProcessingJob response of every SageMaker job of an execution."""
        attempts = self.executions.attempts(execution_id)
        sagemaker = self.client("sagemaker")
        return [
            sagemaker.describe_processing_job(ProcessingJobName=attempt.sagemaker_job_name)
            for of_job in attempts.values()
            for attempt in of_job
            if attempt.sagemaker_job_name
        ]


@contextmanager
def environment(variables: Mapping[str, str]) -> Any:
    """Set environment variables, and restore them at the end."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def find_stage(aws: EmbeddedAws, folder: Path, name: str = "dev") -> Stage:
    connection = Connection()
    return Stage(aws, find_deployment(connection, name), connection, folder)


def people(rows: int, seed: int, *, first_row: int = 0) -> pa.Table:
    """Return rows with a key, the features (one with nulls), and columns that no model uses."""
    random = np.random.default_rng(seed)
    age = random.normal(45, 15, rows)
    spend = random.gamma(2.0, 50.0, rows)
    return pa.table(
        {
            "row": pa.array(np.arange(first_row, first_row + rows)),
            "name": pa.array([f"person {first_row + index}" for index in range(rows)]),
            "spend": pa.array(spend, mask=random.random(rows) < 0.05),
            "age": pa.array(age),
            "visits": pa.array(random.integers(0, 30, rows)),
            "notes": pa.array([[index, None] if index % 3 else None for index in range(rows)], pa.list_(pa.int32())),
        }
    )


def features_of(table: pa.Table) -> Any:
    """Return the features as a DataFrame in the model's order."""
    return table.select([feature.name for feature in FEATURES]).to_pandas()


@cache
def train_xgboost(seed: int) -> xgboost.XGBClassifier:
    table = people(500, seed)
    labels = np.asarray(table["visits"]) + np.random.default_rng(seed).normal(0, 5, 500) > 15
    model = xgboost.XGBClassifier(n_estimators=20, max_depth=3, random_state=seed, n_jobs=1)
    return model.fit(features_of(table), labels)


@cache
def train_sklearn(seed: int) -> Any:
    table = people(500, seed)
    frame = features_of(table).fillna(0.0)
    labels = frame["spend"] + np.random.default_rng(seed).normal(0, 40, 500) > 100
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, labels)


def write_artifact(path: Path, model: Any) -> tuple[str, str]:
    """Write model.tar.gz, and return the name of the model's file in it and its format."""
    if isinstance(model, xgboost.XGBModel):
        name, format_ = "model.ubj", "xgboost-sklearn-ubj"
        model.save_model(path.parent / name)
    elif isinstance(model, bytes):
        name, format_ = "model.onnx", "onnx"
        (path.parent / name).write_bytes(model)
    else:
        name, format_ = "model.joblib", "sklearn-joblib"
        # By value, because the image lacks the classes of these tests.
        if type(model).__module__.startswith("tests."):
            cloudpickle.register_pickle_by_value(sys.modules[type(model).__module__])
        (path.parent / name).write_bytes(cloudpickle.dumps(model))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(path.parent / name, arcname=name)
    return name, format_


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def join_by_key(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).sort_by("row")


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Poll the condition until it returns something true, and return that.

    The longer it takes, the rarer it is asked: questions to the embedded AWS take processor time from what is awaited.
    """
    began = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds} s: {what}"
        time.sleep(min(max(0.05, waited / 10), 0.5))
    return found
