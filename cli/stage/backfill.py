"""Backfill: one execution for each dataset of a period, a few of them in parallel."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import get_args

from boto3.dynamodb.conditions import Key

from cli.documents.dataset_template import MAX_EXECUTIONS_PER_DATASET, Slot
from cli.stage.connection import Connection, query_items
from cli.stage.deployment import Deployment
from cli.stage.executions import Executions
from contract import layout
from contract.problems import InvalidInputError, Problem
from contract.status import JobStatus
from contract.table import records
from contract.table.job_parts import group_parts
from contract.table.records import ExecutionRecord, JobRecord
from contract.workflow.scoring_request import parse_request

SECONDS_BETWEEN_READS = 5.0
"""Default pause between two reads of the executions' statuses, in seconds."""


@dataclass(frozen=True)
class Scorer:
    """A model or a fleet that scores every dataset of a backfill, in its current version."""

    id: str
    version: str
    is_fleet: bool = False


@dataclass(frozen=True)
class Work:
    """Models and fleets that have not scored a dataset; None means all that are enabled."""

    scorers: tuple[Scorer, ...] | None

    @property
    def request(self) -> dict[str, list[str]]:
        """The fields of a request that select them."""
        fields: dict[str, list[str]] = {}
        for scorer in self.scorers or ():
            fields.setdefault("fleets" if scorer.is_fleet else "models", []).append(scorer.id)
        return fields


class Outcome(StrEnum):
    """Outcome of one dataset of a backfill."""

    SKIPPED = "SKIPPED"
    """Every model has already scored the dataset with its current version."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    """The execution failed partly or completely; the next backfill scores what is missing."""


class Backfill:
    """Starts executions for the datasets that are not scored yet, and waits for them."""

    def __init__(self, connection: Connection, deployment: Deployment, executions: Executions) -> None:
        self._deployment = deployment
        self._executions = executions
        self._s3 = connection.client("s3")
        self._table = connection.resource("dynamodb").Table(deployment.table_name)

    def run(
        self,
        slots: Sequence[Slot],
        scorers: Sequence[Scorer],
        *,
        named: bool,
        max_running: int,
        report: Callable[[Slot, str, str], None],
        seconds: float = SECONDS_BETWEEN_READS,
    ) -> dict[Slot, Outcome]:
        """Score every slot's dataset, at most `max_running` at once; return the outcomes.

        Idempotent: after an interruption, another call follows the executions that are running.

        Args:
            named: whether the caller chose models or fleets, so that requests must name them.
            report: called at each step with the slot, the execution's id (may be empty) and the
                event.
            seconds: pause between two reads of the executions' statuses.
        """
        outcomes: dict[Slot, Outcome] = {}
        running: dict[Slot, str] = {}
        waiting = list(reversed(slots))
        pause = threading.Event()
        while waiting or running:
            while waiting and len(running) < max_running:
                slot = waiting.pop()
                execution_id = self._begin(slot, scorers, named=named, report=report)
                if execution_id is None:
                    outcomes[slot] = Outcome.SKIPPED
                    report(slot, "", "already scored by the same model versions")
                else:
                    running[slot] = execution_id
            for slot, execution_id in list(running.items()):
                if self._executions.workflow_status(execution_id) == "RUNNING":
                    continue
                del running[slot]
                status = self._executions.snapshot(execution_id, count_committed=False).status
                outcomes[slot] = Outcome.SUCCEEDED if status == "SUCCEEDED" else Outcome.FAILED
                report(slot, execution_id, status)
            if len(running) >= max_running or (running and not waiting):
                pause.wait(seconds)
        return outcomes

    def _begin(
        self, slot: Slot, scorers: Sequence[Scorer], *, named: bool, report: Callable[[Slot, str, str], None]
    ) -> str | None:
        """Start or find the slot's execution, and return its id; None if all is scored."""
        for number in range(1, MAX_EXECUTIONS_PER_DATASET + 1):
            execution_id = slot.execution_id if number == 1 else f"{slot.execution_id}-{number}"
            state = self._executions.workflow_status(execution_id)
            if state == "RUNNING":
                report(slot, execution_id, "already running")
                return execution_id
            if state is None:
                work = self.unscored(slot.dataset, scorers, named=named)
                if work is None:
                    return None
                request = {"dataset": slot.dataset, "execution_label": "backfill", **work.request}
                parse_request(request)
                self._executions.start(json.dumps(request), execution_id)
                report(slot, execution_id, "started")
                return execution_id
        problem = Problem(
            "name",
            slot.execution_id,
            f"a name with fewer than {MAX_EXECUTIONS_PER_DATASET} executions",
            "Choose another --name.",
        )
        raise InvalidInputError("backfill", [problem])

    def unscored(self, dataset: str, scorers: Sequence[Scorer], *, named: bool) -> Work | None:
        """Return what has not scored the dataset in its current version; None without any.

        A model or fleet has scored the dataset when its job succeeded in an execution that began after
        the last upload. The output must still be in S3.
        """
        scored = self._scored(dataset, {(scorer.id, scorer.version) for scorer in scorers})
        missing = tuple(scorer for scorer in scorers if (scorer.id, scorer.version) not in scored)
        if not missing:
            return None
        return Work(missing if named or len(missing) < len(scorers) else None)

    def _scored(self, dataset: str, wanted: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return the wanted models and versions that scored the dataset since its last upload."""
        scored: set[tuple[str, str]] = set()
        uploaded = self._last_upload(dataset)
        for execution_id in dict.fromkeys(self._executions_with_output(dataset)):
            execution = self._record(execution_id)
            if execution is None:
                continue
            # S3's times have whole seconds, so an upload in the same second may be later than the
            # start.
            began = datetime.fromisoformat(execution.started_at).replace(microsecond=0)
            if uploaded is not None and began <= uploaded:
                continue
            for parts in self._succeeded_jobs(execution_id):
                job = parts[0]
                # Parts whose objects have no rows may have no output.
                with_rows = [part for part in parts if part.rows_in > part.rows_skipped] or parts
                if job.dataset != dataset:
                    continue
                pairs = wanted.intersection(zip(job.model_ids, job.model_versions, strict=True))
                scored.update(
                    pair for pair in pairs - scored if all(self._has_output(part, pair[0]) for part in with_rows)
                )
            if scored == wanted:
                break
        return scored

    def _executions_with_output(self, dataset: str) -> Iterator[str]:
        # An execution that sent every row to quarantine has no predictions, but it has scored the
        # dataset.
        for kind, output_layout in layout.OUTPUT_AREAS:
            prefix = layout.executions_with_outputs_prefix(kind, dataset, output_layout)
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._deployment.results_bucket, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                for entry in page.get("CommonPrefixes", ()):
                    yield entry["Prefix"].removeprefix(prefix).removesuffix("/")

    def _has_output(self, job: JobRecord, model_id: str) -> bool:
        """Return whether the model's predictions or quarantine are still in S3; they may expire."""
        prefixes = [
            prefix
            for kind in get_args(layout.OutputKind)
            for prefix in layout.output_prefixes(
                kind, job.dataset, job.execution_id, job.job_id, model_ids=[model_id], output_layout=job.output_layout
            )
        ]
        bucket = self._deployment.results_bucket
        return any(
            self._s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount", 0) for prefix in prefixes
        )

    def _record(self, execution_id: str) -> ExecutionRecord | None:
        item = self._table.get_item(Key=records.execution_key(execution_id)).get("Item")
        return records.read_item(ExecutionRecord, item) if item else None

    def _succeeded_jobs(self, execution_id: str) -> list[tuple[JobRecord, ...]]:
        """Return the succeeded jobs, each as the records of its parts; an unsplit job has one."""
        found = query_items(
            self._table,
            IndexName=records.INDEX_NAME,
            KeyConditionExpression=Key(records.INDEX_PARTITION_KEY).eq(
                records.jobs_by_status(execution_id, JobStatus.SUCCEEDED)
            ),
        )
        jobs = group_parts(records.read_item(JobRecord, item) for item in found)
        # Other parts of a split job may have failed.
        return [parts for parts in jobs.values() if parts[0].part is None or len(parts) == parts[0].part.count]

    def _last_upload(self, dataset: str) -> datetime | None:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._deployment.datasets_bucket, Prefix=layout.dataset_prefix(dataset)
        )
        times = [entry["LastModified"] for page in pages for entry in page.get("Contents", ())]
        return max(times, default=None)
