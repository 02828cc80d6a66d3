"""Sizes of SageMaker's instance types: vCPUs, memory, GPUs and local disks.

They are those of the EC2 types of the same name without `ml.`, which do not change. They were read
at https://aws.amazon.com/ec2/instance-types/ on 2026-12-01. Types that are not in this table have no
known size, and the planner does not choose them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class InstanceSize:
    """Size of an instance type."""

    vcpus: int
    memory_gib: float
    disk_gb: int = 0
    """Local NVMe storage, which replaces the volume; 0 if the type has none."""
    gpus: int = 0


def size_of(instance_type: str) -> InstanceSize | None:
    """Return the size of a type; None if it is not known.

    >>> size_of("ml.m5.xlarge")
    InstanceSize(vcpus=4, memory_gib=16, disk_gb=0, gpus=0)
    """
    return _SIZES.get(instance_type)


_STEPS = {
    "large": 2,
    "xlarge": 4,
    "2xlarge": 8,
    "4xlarge": 16,
    "8xlarge": 32,
    "12xlarge": 48,
    "16xlarge": 64,
    "24xlarge": 96,
}
"""vCPUs of the sizes of m5, m6i, c6i, r5 and r6i."""
_C5_STEPS = {"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "9xlarge": 36, "18xlarge": 72}

_SIZES: dict[str, InstanceSize] = {
    "ml.t3.medium": InstanceSize(2, 4),
    "ml.t3.large": InstanceSize(2, 8),
    "ml.t3.xlarge": InstanceSize(4, 16),
    "ml.t3.2xlarge": InstanceSize(8, 32),
    **{f"ml.m5.{name}": InstanceSize(count, count * 4) for name, count in _STEPS.items()},
    **{f"ml.m6i.{name}": InstanceSize(count, count * 4) for name, count in _STEPS.items()},
    **{f"ml.c5.{name}": InstanceSize(count, count * 2) for name, count in _C5_STEPS.items()},
    **{f"ml.c6i.{name}": InstanceSize(count, count * 2) for name, count in _STEPS.items()},
    **{f"ml.r5.{name}": InstanceSize(count, count * 8) for name, count in _STEPS.items()},
    **{f"ml.r6i.{name}": InstanceSize(count, count * 8) for name, count in _STEPS.items()},
    "ml.m4.xlarge": InstanceSize(4, 16),
    "ml.m4.2xlarge": InstanceSize(8, 32),
    "ml.m4.4xlarge": InstanceSize(16, 64),
    "ml.g4dn.xlarge": InstanceSize(4, 16, 125, 1),
    "ml.g4dn.2xlarge": InstanceSize(8, 32, 225, 1),
    "ml.g4dn.4xlarge": InstanceSize(16, 64, 225, 1),
    "ml.g4dn.8xlarge": InstanceSize(32, 128, 900, 1),
    "ml.g4dn.12xlarge": InstanceSize(48, 192, 900, 4),
    "ml.g4dn.16xlarge": InstanceSize(64, 256, 900, 1),
    "ml.g5.xlarge": InstanceSize(4, 16, 250, 1),
    "ml.g5.2xlarge": InstanceSize(8, 32, 450, 1),
    "ml.g5.4xlarge": InstanceSize(16, 64, 600, 1),
    "ml.g5.8xlarge": InstanceSize(32, 128, 900, 1),
    "ml.g5.12xlarge": InstanceSize(48, 192, 3_800, 4),
    "ml.g5.16xlarge": InstanceSize(64, 256, 1_900, 1),
    "ml.g5.24xlarge": InstanceSize(96, 384, 3_800, 4),
    "ml.g5.48xlarge": InstanceSize(192, 768, 7_600, 8),
}
