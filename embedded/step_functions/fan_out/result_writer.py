"""ResultWriter: exports the results of a distributed Map's children to S3.

Calls use the state machine's role. Files, names and permissions are those of "ResultWriter (Map)"
in AWS's developer guide.
"""

import json
from collections.abc import Sequence
from typing import Any

from embedded.ministack.s3 import objects
from embedded.ministack.step_functions import language
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions import authorization, data_flow
from embedded.step_functions.authorization import Permission
from embedded.step_functions.data_flow import dump
from embedded.step_functions.executions.execution import Branch
from embedded.step_functions.tasks.task_faults import check_s3

ERROR = "States.ResultWriterFailed"
RESOURCE = "arn:aws:states:::s3:putObject"
_ACTIONS = ("s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload")
_FILES = {
    "SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED", "TIMED_OUT": "FAILED", "ABORTED": "FAILED", "PENDING": "PENDING",
}  # fmt: skip
"""File of a child's result by its status."""


def write(
    branch: Branch, writer: dict[str, Any], effective: Any, map_run_arn: str, children: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Write the results and their manifest, and return the output of the Map state.

    Args:
        writer: The state's ResultWriter.
        effective: The state's input after InputPath.
        children: Descriptions of all children, with `Status`; PENDING for those that never started.

    Raises:
        TaskError: The role lacks a permission, or the bucket does not exist.
    """
    if branch.query_language == "JSONata":
        parameters = language.jsonata_template(writer.get("Arguments", {}), effective, branch.context)
    else:
        parameters = data_flow.fill(writer.get("Parameters", {}), effective, branch.context)
    bucket, prefix = str(parameters.get("Bucket", "")), str(parameters.get("Prefix", ""))
    folder = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix
    folder += map_run_arn.rpartition(":")[2]
    _authorize(branch, bucket, f"{folder}/manifest.json")
    check_s3(
        "PutObject",
        f"{bucket}/{folder}/manifest.json",
        role_arn=branch.execution.role_arn,
        execution_name=branch.execution.arn.rpartition(":")[2],
        error_name=ERROR,
    )
    files: dict[str, list[dict[str, Any]]] = {}
    for kind in sorted(set(_FILES.values())):
        results = [child for child in children if _FILES[child["Status"]] == kind]
        files[kind] = [_put(bucket, f"{folder}/{kind}_0.json", dump(results))] if results else []
    manifest = {"DestinationBucket": bucket, "MapRunArn": map_run_arn, "ResultFiles": files}
    stored = _put(bucket, f"{folder}/manifest.json", json.dumps(manifest))
    return {"MapRunArn": map_run_arn, "ResultWriterDetails": {"Bucket": bucket, "Key": stored["Key"]}}


def _authorize(branch: Branch, bucket: str, key: str) -> None:
    for action in _ACTIONS:
        authorization.check(branch.execution, Permission(action, f"arn:aws:s3:::{bucket}/{key}"), ERROR)
    kms_key = objects.default_encryption_key(bucket)
    if kms_key:
        via = {"kms:ViaService": f"s3.{branch.execution.region}.amazonaws.com"}
        # S3 decrypts the parts of a multipart upload when it assembles them.
        for action in ("kms:GenerateDataKey", "kms:Decrypt"):
            authorization.check(branch.execution, Permission(action, kms_key, via), ERROR)


def _put(bucket: str, key: str, text: str) -> dict[str, Any]:
    body = text.encode(errors="surrogatepass")
    problem = objects.put_object(bucket, key, body)
    if problem:
        raise TaskError(ERROR, f"The results cannot be written to s3://{bucket}/{key}: {problem}")
    return {"Key": key, "Size": len(body)}
