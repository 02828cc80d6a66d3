"""Reads and writes what executions have measured."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from contract.planner.estimates import Samples
from contract.table import records
from contract.table.estimate_items import (
    ESTIMATE_PARTITIONS,
    REVISION,
    SHARED_PARTITIONS,
    EstimateRecord,
    Measured,
    Subject,
    add_measured,
    estimate_item,
    estimate_key,
    samples_of,
)
from lambdas.stage.parallel import in_parallel
from lambdas.stage.tables.table import NEW, Table, in_transactions

_LIFE = timedelta(days=400)
"""Time for which samples are kept after the last one: those of a yearly execution last until the next."""
_TRIES = 3
"""Tries to write an item while concurrent executions write it too."""

_Key = tuple[Subject, str]


class EstimateTable(Table):
    """Reads and writes samples."""

    def __init__(self, dynamodb: Any, table_name: str, *, clock: Callable[[], datetime]) -> None:
        """`dynamodb` is a boto3 resource's client; `clock` returns the time in UTC."""
        super().__init__(dynamodb, table_name)
        self._clock = clock

    def read(self, model_ids: Iterable[str], datasets: Iterable[str]) -> Samples:
        """Return the samples of these models (and fleets) and datasets, and those of all instance types and formats.

        10,000 models take 100 requests, 32 at a time.
        """
        names: list[_Key] = [("MODEL", model_id) for model_id in model_ids]
        names += [("DATASET", dataset) for dataset in datasets]
        shared = [record for subject in SHARED_PARTITIONS for record in self._query(subject)]
        return samples_of([*shared, *self._records(names).values()])

    def add(self, measured: Iterable[Measured]) -> int:
        """Add samples, and return the number of items that have changed. Idempotent.

        Raises:
            RuntimeError: when concurrent executions kept changing an item.
        """
        by_item: dict[_Key, list[Measured]] = {}
        for each in measured:
            by_item.setdefault((each.subject, each.name), []).append(each)
        left, written = list(by_item), 0
        for attempt in range(_TRIES):
            known = self._records(left)
            before = [known.get(key, EstimateRecord(*key, samples={})) for key in left]
            added = [(record, add_measured(record, by_item[record.subject, record.name])) for record in before]
            changed = [after for record, after in added if after is not record]
            is_last = attempt == _TRIES - 1
            left = self._write(changed, one_by_one=is_last)
            written += len(changed) - len(left)
            if not left:
                return written
        raise RuntimeError(f"{len(left):,} items of estimates kept changing, the first is {left[0]}")

    def _records(self, names: Iterable[_Key]) -> dict[_Key, EstimateRecord]:
        keys = [estimate_key(*name) for name in dict.fromkeys(names)]
        found = (records.read_item(EstimateRecord, item) for item in self._get_many(keys))
        return {(record.subject, record.name): record for record in found}

    def _query(self, subject: Subject) -> Iterator[EstimateRecord]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table_name,
            KeyConditionExpression=f"{records.PARTITION_KEY} = :subject",
            ExpressionAttributeValues={":subject": f"{ESTIMATE_PARTITIONS}{subject}"},
        )
        for page in pages:
            yield from (records.read_item(EstimateRecord, item) for item in page["Items"])

    def _write(self, changed: list[EstimateRecord], *, one_by_one: bool) -> list[_Key]:
        """Write records that nobody has changed since they were read, and return the others' keys."""
        expires_at = int((self._clock() + _LIFE).timestamp())
        items = [
            estimate_item(EstimateRecord(each.subject, each.name, each.samples, each.revision + 1), expires_at)
            for each in changed
        ]
        batches = [[item] for item in items] if one_by_one else list(in_transactions(items))
        is_written = in_parallel(self._write_unchanged, batches)
        return [
            (item["subject"], item["name"])
            for batch, done in zip(batches, is_written, strict=True)
            if not done
            for item in batch
        ]

    def _write_unchanged(self, items: list[dict[str, Any]]) -> bool:
        """Write all items in one transaction if each is as it was read, and return whether they were."""
        puts = [
            {
                "Put": {
                    "TableName": self._table_name,
                    "Item": item,
                    **(
                        {"ConditionExpression": NEW}
                        if item[REVISION] == 1
                        else {
                            "ConditionExpression": f"{REVISION} = :read",
                            "ExpressionAttributeValues": {":read": item[REVISION] - 1},
                        }
                    ),
                }
            }
            for item in items
        ]
        try:
            return self._write_all(puts)
        except self._dynamodb.exceptions.TransactionCanceledException:
            # For example, a conflict with another execution that is closed at the same time.
            return False
