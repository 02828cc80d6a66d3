"""In-memory models of the DynamoDB and S3 calls that uploads use: fast, with exact conditions.

`test_storage_model.py` compares them with moto.
"""

import io
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, Any]
_NEW = re.compile(r"attribute_not_exists\(pk\)")
_EQUALS = re.compile(r"(#\w+) = (:\w+)")


class ConditionalCheckFailedError(ClientError):
    def __init__(self) -> None:
        super().__init__({"Error": {"Code": "ConditionalCheckFailedException"}}, "PutItem")


class TransactionCanceledError(ClientError):
    def __init__(self, codes: list[str]) -> None:
        super().__init__({"Error": {"Code": "TransactionCanceledException"}}, "TransactWriteItems")
        self.response["CancellationReasons"] = [{"Code": code} for code in codes]


class _Exceptions:
    ConditionalCheckFailedException = ConditionalCheckFailedError
    TransactionCanceledException = TransactionCanceledError


class TableModel:
    """The client of a boto3 resource for one table. Each call calls `step` at its start and end."""

    exceptions = _Exceptions

    def __init__(self, step: Callable[[], None]) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self._step = step
        self._lock = threading.RLock()

    def put_item(self, **write: Any) -> None:
        self._step()
        with self._lock:
            if not self._holds(write):
                raise ConditionalCheckFailedError
            self._put(write)
        self._step()

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> None:  # noqa: N803
        self._step()
        writes = [next(iter(write.items())) for write in TransactItems]
        with self._lock:
            codes = ["None" if self._holds(write) else "ConditionalCheckFailed" for _, write in writes]
            if "ConditionalCheckFailed" in codes:
                raise TransactionCanceledError(codes)
            for kind, write in writes:
                if kind == "Put":
                    self._put(write)
        self._step()

    def get_item(self, *, Key: Mapping[str, str], **_named: Any) -> dict[str, Any]:  # noqa: N803
        self._step()
        with self._lock:
            found = self.items.get((Key["pk"], Key["sk"]))
        return {} if found is None else {"Item": dict(found)}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        self._step()
        ((name, asked),) = RequestItems.items()
        keys = [(key["pk"], key["sk"]) for key in asked["Keys"]]
        assert len(keys) <= 100
        assert len(set(keys)) == len(keys)
        with self._lock:
            return {"Responses": {name: [dict(self.items[key]) for key in keys if key in self.items]}}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "query"
        return self

    def paginate(self, *, ExpressionAttributeValues: dict[str, str], **_named: Any) -> list[dict[str, Any]]:  # noqa: N803
        self._step()
        partition, prefix = ExpressionAttributeValues[":dataset"], ExpressionAttributeValues[":prefix"]
        with self._lock:
            found = [item for (pk, sk), item in self.items.items() if pk == partition and sk.startswith(prefix)]
        return [{"Items": sorted(found, key=lambda item: str(item["sk"]))}]

    def _put(self, write: dict[str, Any]) -> None:
        item = write["Item"]
        self.items[item["pk"], item["sk"]] = dict(item)

    def _holds(self, write: dict[str, Any]) -> bool:
        keys = write.get("Key") or write["Item"]
        found = self.items.get((keys["pk"], keys["sk"]))
        condition = write["ConditionExpression"]
        if _NEW.fullmatch(condition):
            return found is None
        equals = _EQUALS.fullmatch(condition)
        assert equals, condition
        name, value = write["ExpressionAttributeNames"][equals[1]], write["ExpressionAttributeValues"][equals[2]]
        return found is not None and bool(found.get(name) == value)


class BucketsModel:
    """An S3 client for buckets without versioning."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self._step = step
        self._lock = threading.RLock()

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str = "", **_named: Any) -> None:  # noqa: N803
        self._step()
        with self._lock:
            if IfNoneMatch and (Bucket, Key) in self.objects:
                raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
            self.objects[Bucket, Key] = Body
        self._step()

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        self._step()
        with self._lock:
            if (Bucket, Key) not in self.objects:
                raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
            return {"Body": io.BytesIO(self.objects[Bucket, Key])}
