"""Answers the requests of a plan as S3 and DynamoDB would, for a fleet that exists only as numbers.

`python -m benchmarks.planning.server FLEET`, with the fields of a `Fleet` as JSON, prints its port, and
ends when its standard input is closed.
"""

import io
import json
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq
from boto3.dynamodb.types import TypeSerializer

from benchmarks.aws_server import listing, serve
from benchmarks.planning.fleet import ARTIFACT, FEATURES, MODELS_BUCKET, Fleet
from contract.catalog.models import Model
from contract.layout import artifact_key
from contract.table import catalog_items, records

_MAX_KEYS = 1_000
_MODEL = records.MODEL_PARTITIONS.rstrip("#")
_TIME = "2026-01-05T10:00:00.000Z"


class Answers:
    """The stage's buckets and table."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        sink = io.BytesIO()
        columns = {
            feature.name: pa.array([1, 2], getattr(pa, feature.type.replace("double", "float64"))())
            for feature in FEATURES
        }
        pq.write_table(pa.table(columns), sink)
        self._object = sink.getvalue()
        self._artifacts = [artifact_key(name, "1") for name in fleet.names]
        self._written: set[str] = set()
        self._serialize = TypeSerializer().serialize

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
        return (*self._answer(method, target, headers, body), "")

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation:
            return 200, json.dumps(self._table(operation, json.loads(body))).encode()
        url = urlsplit(target)
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        query = parse_qs(url.query, keep_blank_values=True)
        if method == "PUT":
            return self._put(f"{bucket}/{key}")
        if "list-type" in query:
            return 200, self._listing(bucket, {"max-keys": [str(_MAX_KEYS)], **query})
        start, _, end = headers["range"].removeprefix("bytes=").partition("-")
        return 206, self._object[int(start) : int(end) + 1]

    def _put(self, key: str) -> tuple[int, bytes]:
        if key in self._written:
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>"
        self._written.add(key)
        return 200, b""

    def _listing(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        [prefix] = query["prefix"]
        keys = self._artifacts if bucket == MODELS_BUCKET else self._fleet.keys(prefix.partition("/")[0])
        after = query.get("continuation-token") or query.get("start-after") or [""]
        first = bisect_left(keys, prefix) if after == [""] else bisect_right(keys, after[0])
        page = [key for key in keys[first : first + int(query["max-keys"][0])] if key.startswith(prefix)]
        more = bool(page) and page[-1] != keys[-1] and len(page) == _MAX_KEYS
        size = len(ARTIFACT if bucket == MODELS_BUCKET else self._object)
        contents = (
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_TIME}</LastModified><ETag>&quot;{number:032x}&quot;"
            f"</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for number, key in enumerate(page, first)
        )
        return listing(prefix, contents, page[-1] if more else "")

    def _table(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "Query":
            names = self._fleet.names if ":collection" in str(request) else []
            return {"Items": self._items(catalog_items.model_item(Model(name, "1", True, {})) for name in names)}
        if operation == "BatchGetItem":
            [(table, wanted)] = request["RequestItems"].items()
            found = [self._item(key[records.PARTITION_KEY]["S"], key[records.SORT_KEY]["S"]) for key in wanted["Keys"]]
            return {"Responses": {table: self._items(found)}, "UnprocessedKeys": {}}
        return {}

    def _item(self, partition: str, sort: str) -> dict[str, Any]:
        kind, _, name = partition.partition("#")
        if kind != _MODEL:
            return catalog_items.fleet_item(self._fleet.record)
        if sort == records.MODEL_SORT_KEY:
            return catalog_items.model_item(Model(name, "1", True, {}))
        return catalog_items.version_item(self._fleet.version(name))

    def _items(self, items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: self._serialize(value) for name, value in item.items()} for item in items]


if __name__ == "__main__":
    serve(Answers(Fleet(**json.loads(sys.argv[1]))))
