"""Counts what the jobs of an execution add up to, once per job, without contention.

A job's numbers are added in the transaction that ends the job, so doubled and late events add nothing.
The counters are spread over several items, because concurrent transactions on one item conflict.
"""

import hashlib
from typing import Any

from contract.status import FailureKind, JobStatus
from contract.table import records
from contract.table.records import JobRecord
from contract.table.tolerance import Tally, add_tallies
from lambdas.stage.tables.table import Table

_ITEMS = 16
_NUMBERS = ("failed_jobs", "failed_objects", "scored_objects", "rows_in", "rows_quarantined")
_SPLIT = "failed_split_jobs"


def _read(item: dict[str, Any]) -> Tally:
    numbers = {name: int(item.get(name, 0)) for name in _NUMBERS}
    return Tally(failed_split_jobs=frozenset(item.get(_SPLIT, ())), **numbers)


class Tallies(Table):
    """Reads and writes the counters of executions."""

    def tally(self, execution_id: str) -> Tally:
        """Return what the ended jobs of an execution add up to."""
        answer = self._dynamodb.query(
            TableName=self._table_name,
            KeyConditionExpression=f"{records.PARTITION_KEY} = :execution AND begins_with({records.SORT_KEY}, :prefix)",
            ExpressionAttributeValues={
                ":execution": records.execution_key(execution_id)[records.PARTITION_KEY],
                ":prefix": records.TALLY_SORT_PREFIX,
            },
            ConsistentRead=True,
        )
        return add_tallies(_read(item) for item in answer["Items"])

    def first_failures(self, execution_id: str, count: int) -> list[JobRecord]:
        """Return the first jobs and parts that have failed and were not stopped. The index may be out of
        date.
        """
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table_name,
            IndexName=records.INDEX_NAME,
            KeyConditionExpression=f"{records.INDEX_PARTITION_KEY} = :jobs",
            FilterExpression="failure_kind <> :stopped",
            ExpressionAttributeValues={
                ":jobs": records.jobs_by_status(execution_id, JobStatus.FAILED),
                ":stopped": FailureKind.STOPPED.value,
            },
        )
        found: list[JobRecord] = []
        for page in pages:
            found += [records.read_item(JobRecord, item) for item in page["Items"]]
            if len(found) >= count:
                break
        return found[:count]

    def record_passed_level(self, execution_id: str, text: str) -> str:
        """Add the passed level to the execution's record, unless there is one, and return the recorded
        one.
        """
        try:
            self._dynamodb.update_item(
                TableName=self._table_name,
                Key=records.execution_key(execution_id),
                UpdateExpression="SET passed_level = :text",
                ConditionExpression=(
                    f"attribute_exists({records.PARTITION_KEY}) AND "
                    "(attribute_not_exists(passed_level) OR passed_level = :none)"
                ),
                ExpressionAttributeValues={":text": text, ":none": ""},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            found = self._dynamodb.get_item(
                TableName=self._table_name, Key=records.execution_key(execution_id), ConsistentRead=True
            )
            return str(found.get("Item", {}).get("passed_level", text))
        return text

    def _tally_write(self, job: JobRecord, tally: Tally, expires_at: int) -> dict[str, Any]:
        """Return the update that adds a job's numbers to the counters."""
        item = int.from_bytes(hashlib.sha256(job.job_id.encode()).digest()[:4]) % _ITEMS
        added: dict[str, Any] = {name: getattr(tally, name) for name in _NUMBERS if getattr(tally, name)}
        if tally.failed_split_jobs:
            added[_SPLIT] = set(tally.failed_split_jobs)
        return {
            "Update": {
                "TableName": self._table_name,
                "Key": records.tally_key(job.execution_id, item),
                "UpdateExpression": f"SET {records.TIME_TO_LIVE} = :expires ADD "
                + ", ".join(f"{name} :{name}" for name in added),
                "ExpressionAttributeValues": {
                    ":expires": expires_at,
                    **{f":{name}": value for name, value in added.items()},
                },
            }
        }
