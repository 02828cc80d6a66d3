"""Counts of the stacks, objects, records and executions in the embedded AWS."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415, SLF001

from dataclasses import dataclass


@dataclass(frozen=True)
class Contents:
    """The stacks, data and executions of the embedded AWS.

    `executions` counts running and ended executions; `running_executions` has names.
    """

    stacks: list[str]
    objects: int
    object_bytes: int
    records: int
    executions: int
    running_executions: list[str]


def contents() -> Contents:
    """Count the contents.

    Raises:
        RuntimeError: Another thread has changed a dictionary meanwhile: call again.
    """
    from ministack.services import dynamodb, s3, stepfunctions
    from ministack.services.cloudformation import _stacks

    objects = [item for bucket in list(s3._buckets._data.values()) for item in list(bucket["objects"].values())]
    tables = list(dynamodb._tables._data.values())
    executions = list(stepfunctions._executions._data.values())
    stacks = list(_stacks._data.values())
    return Contents(
        stacks=sorted(
            stack["StackName"] for stack in stacks if not str(stack.get("StackStatus", "")).startswith("DELETE")
        ),
        objects=len(objects),
        object_bytes=sum(int(item.get("size") or 0) for item in objects),
        records=sum(len(by_sort_key) for table in tables for by_sort_key in list(table["items"].values())),
        executions=len(executions),
        running_executions=sorted(
            str(execution["name"]) for execution in executions if execution.get("status") == "RUNNING"
        ),
    )
