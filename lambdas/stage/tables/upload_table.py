"""Records of uploads: claims of object versions, parts of windows, and windows.

A claim and a part's window are written once and never change. A window only changes from OPEN to
CLOSED to STARTED. So claims and attachments that a call has read stay valid.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from contract.status import WindowStatus
from contract.table import records, upload_records
from contract.table.upload_records import CurrentWindow, UploadClaim, UploadPart, UploadWindow
from contract.triggers.uploads import ObjectVersion
from lambdas.errors import UploadsContendedError
from lambdas.stage.parallel import in_parallel
from lambdas.stage.tables.table import NEW, Table

_MIN_DAYS = 30
"""Shortest life of a claim, in days.

It must exceed the 14 days during which a message may be delivered again.
"""
_ATTACH_TRIES = 10


class UploadTable(Table):
    """Reads and writes the records of uploads. All writes are idempotent."""

    def __init__(self, dynamodb: Any, table_name: str, *, record_days: int) -> None:
        super().__init__(dynamodb, table_name)
        self._record_life = timedelta(days=max(record_days, _MIN_DAYS))

    # ---- claims ------------------------------------------------------------------------------

    def owners(self, dataset: str, uploads: Sequence[ObjectVersion]) -> dict[tuple[str, str], str]:
        """Return the part that claimed each object version, by key and identity.

        Unclaimed versions are left out.
        """
        keys = [upload_records.upload_claim_key(dataset, upload) for upload in uploads]
        claims = (records.read_item(UploadClaim, item) for item in self._get_many(keys))
        return {(claim.key, claim.version): claim.part for claim in claims}

    def claim(
        self, dataset: str, part: str, uploads: Sequence[ObjectVersion], now: datetime
    ) -> dict[tuple[str, str], str]:
        """Claim object versions for a part.

        Return the part that owns each version now: this one or another.
        """

        def put(upload: ObjectVersion) -> bool:
            claim = UploadClaim(dataset, upload.key, upload.identity, part)
            return self._put(upload_records.upload_claim_item(claim, upload, self._expires_at(now)), condition=NEW)

        won = dict(zip(uploads, in_parallel(put, uploads), strict=True))
        found = self.owners(dataset, [upload for upload, mine in won.items() if not mine])
        return found | {(upload.key, upload.identity): part for upload, mine in won.items() if mine}

    # ---- windows -----------------------------------------------------------------------------

    def find_part(self, dataset: str, part: str) -> UploadPart | None:
        return self._get(UploadPart, upload_records.upload_part_key(dataset, part))

    def find_window(self, dataset: str, window: int) -> UploadWindow | None:
        return self._get(UploadWindow, upload_records.upload_window_key(dataset, window))

    def attach(self, part: str, fresh: UploadWindow, now: datetime) -> UploadPart:
        """Add a part to the dataset's open window, or open `fresh` for it when there is none.

        The transaction requires the window to be OPEN, so every attached part was there before the
        window closed. `fresh.window` is ignored. Return the part as this or an earlier call
        attached it.

        Raises:
            UploadsContendedError: when every try conflicted with a concurrent change of the
                windows.
        """
        dataset = fresh.dataset
        for _ in range(_ATTACH_TRIES):
            attached = self.find_part(dataset, part)
            if attached is not None:
                return attached
            current = self._get(CurrentWindow, upload_records.current_window_key(dataset))
            window = self.find_window(dataset, current.window) if current else None
            if window is not None and window.status is WindowStatus.OPEN:
                number, writes = window.window, [self._while_open(window)]
            else:
                number = current.window + 1 if current else 1
                writes = self._opening(replace(fresh, window=number), current, now)
            attached = UploadPart(dataset, part, number)
            items = upload_records.upload_part_items(attached, self._expires_at(now))
            writes += [self._put_new(item) for item in items]
            if self._write_all(writes):
                return attached
        raise UploadsContendedError(dataset)

    def parts(self, dataset: str, window: int) -> list[UploadPart]:
        """Return the parts of a window. They are final once the window is not OPEN any more."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table_name,
            KeyConditionExpression=f"{records.PARTITION_KEY} = :dataset AND begins_with({records.SORT_KEY}, :prefix)",
            ExpressionAttributeValues={
                ":dataset": upload_records.current_window_key(dataset)[records.PARTITION_KEY],
                ":prefix": upload_records.upload_member_prefix(window),
            },
            ConsistentRead=True,
        )
        return [records.read_item(UploadPart, item) for page in pages for item in page["Items"]]

    def move_window(self, window: UploadWindow, status: WindowStatus, now: datetime) -> bool:
        """Write the window with its next status, unless another call has changed the status.

        Return whether it was written. Other fields of `window` may be changed too.
        """
        item = upload_records.upload_window_item(replace(window, status=status), self._expires_at(now))
        values = {":read": window.status.value}
        return self._put(item, condition="#status = :read", names={"#status": "status"}, values=values)

    # ---- DynamoDB requests -------------------------------------------------------------------

    def _expires_at(self, now: datetime) -> int:
        return int((now + self._record_life).timestamp())

    def _put_new(self, item: dict[str, Any]) -> dict[str, Any]:
        return {"Put": {"TableName": self._table_name, "Item": item, "ConditionExpression": NEW}}

    def _while_open(self, window: UploadWindow) -> dict[str, Any]:
        return {
            "ConditionCheck": {
                "TableName": self._table_name,
                "Key": upload_records.upload_window_key(window.dataset, window.window),
                "ConditionExpression": "#status = :open",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {":open": WindowStatus.OPEN.value},
            }
        }

    def _opening(self, window: UploadWindow, current: CurrentWindow | None, now: datetime) -> list[dict[str, Any]]:
        item = upload_records.current_window_item(CurrentWindow(window.dataset, window.window))
        pointer = self._put_new(item)
        if current is not None:
            pointer["Put"] |= {
                "ConditionExpression": "#window = :before",
                "ExpressionAttributeNames": {"#window": "window"},
                "ExpressionAttributeValues": {":before": current.window},
            }
        return [pointer, self._put_new(upload_records.upload_window_item(window, self._expires_at(now)))]
