"""Moves the pointers to the latest complete predictions, in the table and in S3."""

from typing import Any

from botocore.exceptions import ClientError

from contract import codec
from contract.json_text import dump_json
from contract.problems import InvalidInputError
from contract.table.latest_predictions import PLACE, LatestPredictions, latest_item

_MAX_TRIES = 5
"""Tries to write a manifest while concurrent executions write it too."""
_CHANGED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})
"""Error codes of a conditional write whose object was written or deleted since it was read."""


class LatestPointers:
    """Writes pointers. A pointer never moves back to predictions that were planned earlier."""

    def __init__(self, dynamodb: Any, table_name: str, s3: Any, results_bucket: str) -> None:
        """`dynamodb` is a boto3 resource's client, which takes and returns plain Python values."""
        self._dynamodb = dynamodb
        self._table_name = table_name
        self._s3 = s3
        self._results_bucket = results_bucket

    def move(self, latest: LatestPredictions) -> bool:
        """Point to these predictions, unless later ones are known; return whether it does. Idempotent."""
        return self._put_item(latest) and self._put_manifest(latest)

    def _put_item(self, latest: LatestPredictions) -> bool:
        try:
            self._dynamodb.put_item(
                TableName=self._table_name,
                Item=latest_item(latest),
                ConditionExpression="attribute_not_exists(#place) OR #place <= :place",
                ExpressionAttributeNames={"#place": PLACE},
                ExpressionAttributeValues={":place": latest.place},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _put_manifest(self, latest: LatestPredictions) -> bool:
        """Write the manifest if it is still the one that was compared.

        An execution that has written its item may be overtaken before it writes the manifest.
        """
        body = dump_json(codec.to_json(latest), indent=1).encode()
        for last_try in (*[False] * (_MAX_TRIES - 1), True):
            known, etag = self._manifest(latest.key)
            if known is not None and known.place > latest.place:
                return False
            condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
            try:
                self._s3.put_object(
                    Bucket=self._results_bucket,
                    Key=latest.key,
                    Body=body,
                    ContentType="application/json",
                    **condition,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in _CHANGED or last_try:
                    raise
            else:
                return True
        raise AssertionError("unreachable")

    def _manifest(self, key: str) -> tuple[LatestPredictions | None, str]:
        """Return the manifest and its ETag; an empty ETag if there is none.

        A manifest that cannot be read, such as one of another release, counts as older.
        """
        try:
            answer = self._s3.get_object(Bucket=self._results_bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None, ""
            raise
        try:
            return codec.loads(LatestPredictions, answer["Body"].read()), answer["ETag"]
        except InvalidInputError:
            return None, answer["ETag"]
