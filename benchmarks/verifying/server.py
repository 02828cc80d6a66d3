"""Answers the requests of VerifyOutput as S3 and DynamoDB would, for a `Job`.

`python -m benchmarks.verifying.server JOB`, with the fields of a `Job` as JSON, prints its port, and ends
when its standard input is closed.
"""

import json
import sys
from bisect import bisect_left, bisect_right
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from boto3.dynamodb.types import TypeSerializer

from benchmarks.aws_server import listing, serve
from benchmarks.verifying.job import (
    DATASET,
    DATASETS_BUCKET,
    EXECUTION_ID,
    JOB_ID,
    RESULTS_BUCKET,
    Job,
    checksum,
    spec_text,
)
from contract import layout
from contract.table import records

_MAX_KEYS = 1_000
_TIME = "2026-01-05T10:00:00.000Z"


class Answers:
    """The stage's buckets and table."""

    def __init__(self, job: Job) -> None:
        self._job = job
        folder = layout.dataset_prefix(DATASET)
        self._etags = {folder + item.key: item.etag for item in job.snapshot.objects}
        outputs = layout.job_outputs_prefix("predictions", DATASET, EXECUTION_ID, JOB_ID, job.output_layout)
        ledger = layout.ledger_prefix(EXECUTION_ID, JOB_ID)
        self._outputs_prefix = outputs
        self._contents = {ledger + name: content for name, content in job.segments()}
        self._contents[layout.job_spec_key(EXECUTION_ID, JOB_ID)] = spec_text(job)
        self._contents[layout.snapshot_key(EXECUTION_ID, DATASET)] = job.snapshot.text()
        sizes = {outputs + key: size for key, size in job.outputs()}
        sizes |= {key: len(content) for key, content in self._contents.items() if key.startswith(ledger)}
        self._sizes = {
            RESULTS_BUCKET: sizes,
            DATASETS_BUCKET: {folder + item.key: item.size for item in job.snapshot.objects},
        }
        self._keys = {bucket: sorted(keys) for bucket, keys in self._sizes.items()}

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation:
            return 200, json.dumps(self._table(operation, json.loads(body))).encode(), ""
        url = urlsplit(target)
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        if method == "HEAD":
            found = checksum(key.removeprefix(self._outputs_prefix))
            return 200, b"", f"x-amz-checksum-crc64nvme: {found}\r\nx-amz-checksum-type: FULL_OBJECT\r\n"
        query = parse_qs(url.query, keep_blank_values=True)
        if "list-type" in query:
            return 200, self._listing(bucket, query), ""
        return 200, self._contents[key], ""

    def _listing(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        [prefix] = query["prefix"]
        keys, sizes = self._keys[bucket], self._sizes[bucket]
        after = query.get("continuation-token")
        first = bisect_right(keys, after[0]) if after else bisect_left(keys, prefix)
        page = [key for key in keys[first : first + _MAX_KEYS] if key.startswith(prefix)]
        more = len(page) == _MAX_KEYS
        contents = (
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_TIME}</LastModified>"
            f"<ETag>&quot;{self._etags.get(key, '0' * 32)}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
            f"<ChecksumType>FULL_OBJECT</ChecksumType><Size>{sizes[key]}</Size>"
            f"<StorageClass>STANDARD</StorageClass></Contents>"
            for key in page
        )
        return listing(prefix, contents, page[-1] if more else "")

    def _table(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Return the job's record; no attempt is recorded yet, and nothing is kept."""
        item = records.job_item(self._job.record)
        key = request.get("Key", {}).get(records.SORT_KEY, {}).get("S")
        if operation == "GetItem" and key == item[records.SORT_KEY]:
            serialize = TypeSerializer().serialize
            return {"Item": {name: serialize(value) for name, value in item.items()}}
        return {}


if __name__ == "__main__":
    serve(Answers(Job(**json.loads(sys.argv[1]))))
