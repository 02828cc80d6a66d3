"""ItemReader: reads the items of a distributed Map from S3 with the state machine's role."""

from typing import Any

from embedded.ministack.s3 import objects
from embedded.ministack.step_functions import language
from embedded.ministack.step_functions.tasks import TaskError
from embedded.step_functions import authorization, data_flow
from embedded.step_functions.authorization import Permission
from embedded.step_functions.executions.execution import Branch
from embedded.step_functions.fan_out import map_fields
from embedded.step_functions.tasks.task_faults import check_s3

ERROR = "States.ItemReaderFailed"


def read(branch: Branch, reader: dict[str, Any], raw: Any, effective: Any) -> list[Any]:
    """Return the items of an ItemReader; `effective` is the state's input after InputPath.

    Raises:
        TaskError: The role lacks a permission, or the source cannot be read or holds no list.
    """
    most = max_items(branch, reader, raw, effective)
    if most < 0:
        raise TaskError(ERROR, "field MaxItems must be positive")
    items = _read(branch, reader, effective)
    if not isinstance(items, list):
        raise TaskError(ERROR, "Attempting to map over non-iterable node.")
    return items[:most] if most else items


def max_items(branch: Branch, reader: dict[str, Any], raw: Any, effective: Any) -> int:
    """Return MaxItems; 0 means all.

    Raises:
        TaskError: States.Runtime, if it is not an integer.
    """
    return map_fields.whole_number(branch, reader.get("ReaderConfig", {}), "MaxItems", raw, effective)


def _read(branch: Branch, reader: dict[str, Any], effective: Any) -> Any:
    if branch.query_language == "JSONata":
        parameters = language.jsonata_template(reader.get("Arguments", {}), effective, branch.context)
    else:
        parameters = data_flow.fill(reader.get("Parameters", {}), effective, branch.context)
    bucket = str(parameters.get("Bucket", ""))
    if reader["Resource"].endswith("s3:listObjectsV2"):
        listing = Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}")
        authorization.check(branch.execution, listing, ERROR)
    else:
        key = str(parameters.get("Key", ""))
        authorization.check(branch.execution, Permission("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}"), ERROR)
        kms_key = objects.encryption_key(bucket, key)
        if kms_key:
            via = {"kms:ViaService": f"s3.{branch.execution.region}.amazonaws.com"}
            authorization.check(branch.execution, Permission("kms:Decrypt", kms_key, via), ERROR)
    _meet_faults(branch, reader, parameters)
    config = {key: value for key, value in reader.get("ReaderConfig", {}).items() if not key.startswith("MaxItems")}
    try:
        resolved = {**reader, "Parameters": parameters, "ReaderConfig": config}
        return language.read_items(resolved, effective, branch.context)
    except ValueError as failure:
        text = f"Attempting to parse the item source s3://{bucket}/{parameters.get('Key')} failed: {failure}"
        raise TaskError(ERROR, text) from failure


def _meet_faults(branch: Branch, reader: dict[str, Any], parameters: dict[str, Any]) -> None:
    is_listing = reader["Resource"].endswith("s3:listObjectsV2")
    check_s3(
        "ListObjectsV2" if is_listing else "GetObject",
        f"{parameters.get('Bucket')}/{parameters.get('Prefix' if is_listing else 'Key', '')}",
        role_arn=branch.execution.role_arn,
        execution_name=branch.execution.arn.rpartition(":")[2],
        error_name=ERROR,
    )
