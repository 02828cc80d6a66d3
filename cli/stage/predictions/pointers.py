"""Reads the pointers to complete predictions from the table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from boto3.dynamodb.conditions import Key

from cli.failures import CommandError
from cli.stage.connection import Connection, query_items
from cli.stage.deployment import Deployment
from cli.stage.executions.executions import execution_record, jobs_of
from cli.stage.predictions.windows import windows_beyond
from contract.status import ExecutionKind, JobStatus
from contract.table import latest_predictions as latest
from contract.table import records
from contract.table.job_parts import group_parts, whole_job
from contract.table.latest_predictions import LatestPredictions
from contract.table.upload_records import UPLOADS_PARTITIONS, WINDOW_SORT_PREFIX, UploadWindow

PredictionsState = Literal["latest", "complete", "part", "expired"]
"""`part`: of an execution over some objects of a dataset, such as one of uploads. `complete`: of an
execution over the whole dataset that is not the latest."""

_SHOWN_WINDOWS = 20


@dataclass(frozen=True)
class FoundPredictions:
    """Complete predictions of a model or a fleet in one execution."""

    pointer: LatestPredictions
    state: PredictionsState


@dataclass(frozen=True)
class ExecutionPredictions:
    """What an execution has predicted."""

    found: list[FoundPredictions]
    incomplete: list[str]
    """Ids of the jobs that have not succeeded."""


class Predictions:
    """The complete predictions of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._deployment = deployment
        self._table = connection.resource("dynamodb").Table(deployment.table_name)
        self._s3 = connection.client("s3")

    def latest(self, dataset: str = "", model_id: str = "") -> list[FoundPredictions]:
        """Return the latest complete predictions of a dataset, of a model or fleet, of both, or all."""
        now = datetime.now(UTC)
        found = [item for item in self._pointers(dataset, model_id) if model_id in ("", item.model_id)]
        found.sort(key=lambda item: (item.dataset, item.model_id, item.fleet))
        return [FoundPredictions(item, "expired" if is_expired(item, now) else "latest") for item in found]

    def of_execution(self, execution: str, dataset: str = "", model_id: str = "") -> ExecutionPredictions:
        """Return the complete predictions of an execution, by its id or ARN.

        Raises:
            CommandError: when it is not in the table.
        """
        execution_id = execution.rpartition(":")[2]
        record = execution_record(self._table, execution_id)
        if record is None:
            raise CommandError(
                f"There is no record of execution {execution_id!r} in stage {self._deployment.stage!r}. Check the id, "
                "--stage and --region; `fleetscore list` shows those that the stage still knows."
            )
        jobs = [
            parts
            for parts in group_parts(jobs_of(self._table, execution_id)).values()
            if parts[0].kind is ExecutionKind.SCORING
            and dataset in ("", parts[0].dataset)
            and (not model_id or model_id in parts[0].model_ids)
        ]
        original = latest.original_execution(record, partial(execution_record, self._table))
        is_whole = original is not None and latest.covers_whole_datasets(original.request_json)
        current = {
            (item.dataset, item.model_id, item.fleet): item
            for name in sorted({parts[0].dataset for parts in jobs})
            for item in self._pointers(name, "")
        }
        found, incomplete = [], []
        for parts in jobs:
            job = whole_job(parts)
            if job.status is not JobStatus.SUCCEEDED:
                incomplete.append(job.job_id)
                continue
            bucket = self._deployment.results_bucket
            is_all = is_whole and job.dataset not in record.moved_datasets
            for item in latest.point_to_job(parts, bucket, planned_at=job.created_at, expiry_days=None):
                if model_id not in ("", item.model_id):
                    continue
                now_latest = current.get((item.dataset, item.model_id, item.fleet))
                if now_latest is not None and now_latest.execution_id == execution_id:
                    found.append(FoundPredictions(now_latest, "latest"))
                else:
                    found.append(FoundPredictions(item, "complete" if is_all else "part"))
        found.sort(key=lambda each: (each.pointer.dataset, each.pointer.model_id))
        return ExecutionPredictions(found, sorted(incomplete))

    def windows_on_top(self, dataset: str, pointers: Sequence[LatestPredictions]) -> list[UploadWindow]:
        """Return the newest upload windows of a dataset that have objects of their own, newest first.

        Their executions started after the plans to which the pointers lead.
        """
        moment = min((pointer.planned_at for pointer in pointers), default="")
        key = Key(records.PARTITION_KEY).eq(f"{UPLOADS_PARTITIONS}{dataset}")
        page = self._table.query(
            KeyConditionExpression=key & Key(records.SORT_KEY).begins_with(WINDOW_SORT_PREFIX),
            ScanIndexForward=False,
            Limit=_SHOWN_WINDOWS,
        )
        windows = [records.read_item(UploadWindow, item) for item in page["Items"]]
        later = [window for window in windows if window.execution_id and self._started(window.execution_id) > moment]
        return windows_beyond(self._s3, self._deployment.results_bucket, later, pointers)

    def _started(self, execution_id: str) -> str:
        record = execution_record(self._table, execution_id)
        return record.started_at if record else ""

    def _pointers(self, dataset: str, model_id: str) -> Iterable[LatestPredictions]:
        if dataset:
            condition = Key(records.PARTITION_KEY).eq(latest.latest_key(dataset, "")[records.PARTITION_KEY])
            items = list(query_items(self._table, KeyConditionExpression=condition, ConsistentRead=True))
        else:
            everything = Key(records.INDEX_PARTITION_KEY).eq(latest.LATEST_COLLECTION)
            beginnings = [latest.latest_index_prefix(model_id, fleet) for fleet in ("", model_id)] if model_id else [""]
            items = [
                item
                for start in beginnings
                for item in query_items(
                    self._table,
                    IndexName=records.INDEX_NAME,
                    KeyConditionExpression=everything & Key(records.INDEX_SORT_KEY).begins_with(start)
                    if start
                    else everything,
                )
            ]
        return [latest.read_latest(item) for item in items]


def is_expired(pointer: LatestPredictions, now: datetime) -> bool:
    """Return whether S3 may have deleted some of the predictions."""
    return bool(pointer.outputs_expire_at) and datetime.fromisoformat(pointer.outputs_expire_at) <= now
