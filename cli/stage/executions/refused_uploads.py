"""Executions of uploads that their plans refused, and new ones over the same uploads."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.conditions import Attr, Key

from cli.stage.connection import Connection, query_items
from cli.stage.deployment import Deployment
from contract.json_text import dump_json
from contract.status import ExecutionStatus
from contract.table import records
from contract.table.records import ExecutionRecord
from contract.table.request_text import recorded_request
from contract.triggers.uploads import execution_name

_LAST_NUMBER = 9
"""Highest number at the end of a name. The longest names have room for one digit."""
_BATCH_ID = "[0-9a-f]{32}"


@dataclass(frozen=True)
class RefusedUpload:
    """An execution of uploads that was refused, and the one that scores them after that."""

    execution_id: str
    next_id: str
    """Name of the next execution. It follows from the first one, so that it is started once."""
    request_json: str


class RefusedUploads:
    """The refused executions of uploads to the datasets of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._table = connection.resource("dynamodb").Table(deployment.table_name)

    def find(self, dataset: str, changes: Mapping[str, Any]) -> list[RefusedUpload]:
        """Return the refused executions of uploads that no later execution has scored, oldest first.

        `changes` are fields that the new requests have in place of the old ones.
        """
        name = re.compile(f"({re.escape(execution_name(dataset, ''))}{_BATCH_ID})(?:-([2-{_LAST_NUMBER}]))?")
        newest: dict[str, tuple[int, ExecutionRecord]] = {}
        for record in self._records(execution_name(dataset, "")):
            found = name.fullmatch(record.execution_id)
            if found is not None:
                number = int(found[2] or 1)
                newest[found[1]] = max(newest.get(found[1], (0, record)), (number, record), key=lambda pair: pair[0])
        refused: list[RefusedUpload] = []
        for first_id, (number, record) in newest.items():
            request = recorded_request(record.request_json) or {}
            if _was_refused(record) and request.get("dataset") == dataset and number < _LAST_NUMBER:
                again = f"{first_id}-{number + 1}"
                refused.append(RefusedUpload(record.execution_id, again, dump_json({**request, **changes})))
        return refused

    def _records(self, prefix: str) -> Iterator[ExecutionRecord]:
        items = query_items(
            self._table,
            IndexName=records.INDEX_NAME,
            KeyConditionExpression=Key(records.INDEX_PARTITION_KEY).eq(records.EXECUTIONS_COLLECTION),
            FilterExpression=Attr("execution_id").begins_with(prefix),
        )
        return (records.read_item(ExecutionRecord, item) for item in items)


def _was_refused(record: ExecutionRecord) -> bool:
    return record.plan is None and record.status is ExecutionStatus.FAILED
