"""Upload windows whose objects the latest complete predictions do not have."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from cli.failures import error_code
from contract import codec, layout
from contract.job.snapshot import read_trusted_snapshot
from contract.problems import InvalidInputError
from contract.table.latest_predictions import LatestPredictions
from contract.table.upload_records import UploadWindow
from contract.triggers.uploads import UploadManifest

_Versions = Mapping[str, tuple[int, str]]
"""Size and ETag of objects, by key."""


def windows_beyond(
    s3: Any, results_bucket: str, windows: Sequence[UploadWindow], pointers: Iterable[LatestPredictions]
) -> list[UploadWindow]:
    """Return the windows with an object version that the snapshot of some pointer's execution does not have.

    An execution over a window may start after a plan that has pinned the same objects. Windows whose
    manifest has expired, and all of them where a snapshot has, are returned too.
    """
    executions = {(pointer.execution_id, pointer.dataset) for pointer in pointers} if windows else ()
    snapshots = [_pinned(s3, results_bucket, *execution) for execution in executions]

    def is_covered(window: UploadWindow) -> bool:
        uploads = _uploads(s3, results_bucket, window.objects_manifest)
        return bool(snapshots and uploads) and all(uploads.items() <= pinned.items() for pinned in snapshots)

    return [window for window in windows if not is_covered(window)]


def _pinned(s3: Any, bucket: str, execution_id: str, dataset: str) -> _Versions:
    """Return the objects that an execution has pinned of a dataset; those of a split job are in several files."""
    prefix = layout.snapshot_key(execution_id, dataset).removesuffix(layout.SNAPSHOT_NAME)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found: dict[str, tuple[int, str]] = {}
    for key in (entry["Key"] for page in pages for entry in page.get("Contents", ())):
        if key.endswith(f"/{layout.SNAPSHOT_NAME}"):
            content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            found |= {item.key: (item.size, item.etag) for item in read_trusted_snapshot(io.BytesIO(content))}
    return found


def _uploads(s3: Any, bucket: str, key: str) -> _Versions:
    """Return the objects of an upload manifest; none if it has expired or is of another release."""
    if not key:
        return {}
    try:
        content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        manifest = codec.loads(UploadManifest, content, subject=key)
    except InvalidInputError:
        return {}
    except ClientError as error:
        if error_code(error) != "NoSuchKey":
            raise
        return {}
    return {item.key: (item.size, item.etag) for item in manifest.objects}
