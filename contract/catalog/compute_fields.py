"""The fields of a record's compute, each defined once: see `contract.catalog.model_fields`."""

from dataclasses import dataclass, field

from contract.catalog.instance_types import MAX_INSTANCES, MAX_VOLUME_GB
from contract.catalog.spot import LONGEST_WAIT_SECONDS
from contract.checks import Range
from contract.names import INSTANCE_TYPE, InstanceTypes
from contract.schema.field_info import describe


@dataclass(frozen=True)
class ComputeFields:
    """Instances, volume and time limit of a job. None means that a fallback supplies the value."""

    instance_type: str | None = field(
        default=None,
        metadata=describe(
            "SageMaker instance type, such as ml.m5.xlarge.",
            check=INSTANCE_TYPE,
            default="the stage's",
            group="Compute",
            metavar="TYPE",
        ),
    )
    # The limits are those of SageMaker's CreateProcessingJob, as botocore's service model has them.
    instance_count: int | None = field(
        default=None,
        metadata=describe(
            "Instances per job.",
            check=Range(1, MAX_INSTANCES, "instances"),
            default="the stage's",
            group="Compute",
            metavar="N",
        ),
    )
    volume_size_gb: int | None = field(
        default=None,
        metadata=describe(
            "Size of each instance's volume, in GB.",
            check=Range(1, MAX_VOLUME_GB, "GB"),
            default="the stage's",
            group="Compute",
            metavar="GB",
        ),
    )
    max_runtime_seconds: int | None = field(
        default=None,
        metadata=describe(
            "Time limit per attempt, in seconds.",
            check=Range(1, 777_600, "seconds"),
            default="the stage's",
            group="Compute",
            metavar="S",
        ),
    )
    larger_instance_types: tuple[str, ...] | None = field(
        default=None,
        metadata=describe(
            "Instance types, smaller ones first, to which a job changes when an attempt runs out of memory.",
            check=InstanceTypes(),
            default="the stage's; none if instance_type is set",
            group="Compute",
            metavar="A,B",
            see="([how attempts adapt](../../operate/failures.md#how-attempts-adapt))",
        ),
    )
    max_volume_size_gb: int | None = field(
        default=None,
        metadata=describe(
            "Largest volume, in GB, that an attempt may get after earlier ones had filled smaller volumes.",
            check=Range(1, MAX_VOLUME_GB, "GB"),
            default="the stage's",
            group="Compute",
            metavar="GB",
        ),
    )
    spot: bool | None = field(
        default=None,
        metadata=describe(
            "Whether to score by SageMaker training jobs on spot capacity, which is cheaper. An interrupted job goes "
            "on after its last commit.",
            default="the stage's",
            group="Compute",
            see="([spot](../../operate/spot.md))",
        ),
    )
    # The documented limit of MaxWaitTimeInSeconds: the service model has none.
    max_wait_seconds: int | None = field(
        default=None,
        metadata=describe(
            "Time limit per attempt with spot for the run and all waits for capacity together, in seconds.",
            check=Range(1, LONGEST_WAIT_SECONDS, "seconds"),
            default="the stage's; twice max_runtime_seconds if it has none",
            group="Compute",
            metavar="S",
        ),
    )
