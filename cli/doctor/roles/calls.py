"""Calls that a role must or must not be able to make, with the stage's resources.

The lists follow from the code of jobs, workflow and functions, not from the policies. They reveal
policies that lack an action, and policies that allow too much.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cli.doctor.stage import DeployedStage
from contract import layout

SAGEMAKER, STATES, LAMBDA, SCHEDULER = (
    f"{service}.amazonaws.com" for service in ("sagemaker", "states", "lambda", "scheduler")
)
USE_KEY = ("kms:Decrypt", "kms:GenerateDataKey")
EXECUTION, JOB = "doctor", "doctor"
"""Ids in the keys of objects, which need not exist."""


@dataclass(frozen=True)
class Call:
    """Actions on a resource, with the condition keys that AWS adds to such a request."""

    actions: tuple[str, ...]
    resource: str = "*"
    context: Mapping[str, Any] = field(default_factory=dict)
    is_allowed: bool = True


class CallMaker:
    """Forms calls on a stage's resources."""

    def __init__(self, stage: DeployedStage) -> None:
        self.stage = stage
        bucket = {kind: f"arn:{stage.partition}:s3:::{name}" for kind, name in stage.buckets.items()}
        self.datasets, self.models, self.results = bucket["datasets"], bucket["models"], bucket["results"]
        self.table = stage.arn("dynamodb", f"table/{stage.deployment.table_name}")

    def execution_objects(self, *actions: str) -> Call:
        return Call(actions, f"{self.results}/{layout.summary_key(EXECUTION)}")

    def items_of_both(self, partition: str, other: str, operation: str) -> Call:
        """Return a call that names items of two partitions in one request."""
        keys = leading_keys(partition)
        return Call(
            (f"dynamodb:{operation}",), self.table, {name: keys[name] + leading_keys(other)[name] for name in keys}
        )

    def items(self, partition: str, *operations: str) -> Call:
        return Call(tuple(f"dynamodb:{name}" for name in operations), self.table, leading_keys(partition))

    def keys_for(self, *services: str) -> Iterator[Call]:
        for service in services:
            yield self.key(service, *USE_KEY, "kms:DescribeKey")

    def key(self, service: str, *actions: str, **context: Any) -> Call:
        name = f"{service}.{self.stage.region}.{self.stage.url_suffix}"
        return Call(actions, self.stage.key_arn, {"kms:ViaService": name, **context})

    @staticmethod
    def listing(bucket: str, prefix: str) -> Call:
        return Call(("s3:ListBucket",), bucket, {"s3:prefix": f"{prefix}doctor"})

    @staticmethod
    def never(action: str, resource: str, **context: Any) -> Call:
        return Call((action,), resource, context, is_allowed=False)

    def queues(self, beginning: str) -> Iterable[str]:
        """Return the ARNs of the queues whose logical ids begin with a name."""
        for resource in self.stage.of_type("AWS::SQS::Queue"):
            if resource.logical_id.startswith(beginning):
                yield self.stage.arn("sqs", resource.physical_id.rpartition("/")[2])


def leading_keys(partition: str) -> dict[str, Any]:
    """Return the context of a request for items of a partition."""
    return {"dynamodb:LeadingKeys": [f"{partition}doctor"]}
