"""Answers the requests of plans, and keeps what they write, as S3 and DynamoDB would.

`python -m benchmarks.resuming.server FLEET`, with the fields of a `Fleet` as JSON, prints its port, and
ends when its standard input is closed.
"""

import json
import sys
from bisect import bisect_left, insort
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from benchmarks.aws_server import listing, serve
from benchmarks.planning import server
from benchmarks.planning.fleet import Fleet
from contract.table import records
from lambdas.stage.tables.table import NEW

RESULTS_BUCKET = "results-bench"
_MAX_KEYS = 1_000
_PAGE_BYTES = 1 << 20
"""Most bytes of a page of a query, as in DynamoDB."""
_TIME = "2026-01-05T10:00:00.000Z"
Item = dict[str, Any]


class Answers(server.Answers):
    """The stage's buckets and table. What is written can be read."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._objects: dict[str, bytes] = {}
        self._sorted_keys: list[str] = []
        self._records: dict[str, dict[str, Item]] = {}
        """Items of executions, by partition key and sort key."""

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        url = urlsplit(target)
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        if headers.get("x-amz-target", "").endswith(".PutItem") and not self._may_put(json.loads(body)):
            return 400, b'{"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}'
        if bucket != RESULTS_BUCKET:
            return super()._answer(method, target, headers, body)
        query = parse_qs(url.query, keep_blank_values=True)
        if method == "PUT":
            return self._keep(key, body, is_new="if-none-match" in headers)
        if "list-type" in query:
            return 200, self._listing_of_results(query["prefix"][0], (query.get("continuation-token") or [""])[0])
        found = self._objects.get(key)
        return (404, b"<Error><Code>NoSuchKey</Code></Error>") if found is None else (200, found)

    def _keep(self, key: str, body: bytes, *, is_new: bool) -> tuple[int, bytes]:
        if key not in self._objects:
            insort(self._sorted_keys, key)
        elif is_new:
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>"
        self._objects[key] = body
        return 200, b""

    def _listing_of_results(self, prefix: str, after: str) -> bytes:
        first = bisect_left(self._sorted_keys, f"{after}\0" if after else prefix)
        page = self._sorted_keys[first : first + _MAX_KEYS]
        found = [key for key in page if key.startswith(prefix)]
        contents = (
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_TIME}</LastModified><ETag>&quot;0&quot;</ETag>"
            f"<Size>{len(self._objects[key])}</Size></Contents>"
            for key in found
        )
        return listing(prefix, contents, found[-1] if len(found) == _MAX_KEYS else "")

    def _table(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "DescribeProcessingJob":
            return {"ProcessingJobStatus": "Stopped"}
        if operation == "PutItem":
            self._add(request["Item"])
            return {}
        if operation == "TransactWriteItems":
            for action in request["TransactItems"]:
                self._add(action["Put"]["Item"])
            return {}
        if operation == "GetItem":
            partition, sort = self._key(request["Key"])
            found = self._records.get(partition, {}).get(sort)
            return {} if found is None else {"Item": found}
        if operation == "Query" and ":execution" in str(request):
            return self._query(request)
        return super()._table(operation, request)

    def _may_put(self, request: dict[str, Any]) -> bool:
        """Return whether the item is new, if it has to be. Other conditions always hold here."""
        partition, sort = self._key(request["Item"])
        return request.get("ConditionExpression") != NEW or sort not in self._records.get(partition, {})

    def _add(self, item: Item) -> None:
        partition, sort = self._key(item)
        self._records.setdefault(partition, {})[sort] = item

    def _key(self, item: Item) -> tuple[str, str]:
        return item[records.PARTITION_KEY]["S"], item[records.SORT_KEY]["S"]

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        values = request["ExpressionAttributeValues"]
        partition = self._records.get(values[":execution"]["S"], {})
        start = request.get("ExclusiveStartKey", {}).get(records.SORT_KEY, {}).get("S", "")
        items: list[Item] = []
        size = 0
        for sort in sorted(partition):
            if sort > start and sort.startswith(values[":prefix"]["S"]):
                items.append(partition[sort])
                size += len(json.dumps(partition[sort]))
                if size > _PAGE_BYTES:
                    last = {name: items[-1][name] for name in (records.PARTITION_KEY, records.SORT_KEY)}
                    return {"Items": items, "LastEvaluatedKey": last}
        return {"Items": items}


if __name__ == "__main__":
    serve(Answers(Fleet(**json.loads(sys.argv[1]))))
