"""Faults of SageMaker jobs: their capacity, instances, disks and uploads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

from embedded.faults.fault import Fault, at_least, option, pattern

SCORED_OBJECT = r'"event": ?"object_scored"'
"""Regular expression of the line that the scoring container prints per object."""


@dataclass(frozen=True, kw_only=True)
class JobFault(Fault):
    """A fault of the jobs whose names its pattern describes."""

    job: str = pattern("Name of the job")

    def concerns(self, job_name: str) -> bool:
        """Return whether the pattern describes a job."""
        return fnmatchcase(job_name, self.job)


@dataclass(frozen=True, kw_only=True)
class InstanceQuota(Fault):
    """The account may run only some instances of a type, in all jobs of a kind together."""

    KIND: ClassVar[str] = "instance-quota"
    EXAMPLE: ClassVar[str] = "--instance-type 'ml.m5.*' --instances 2"
    STANDS: ClassVar[bool] = True

    instance_type: str = pattern("Instance type, such as ml.m5.large")
    instances: int = option("Number of instances of all running jobs together. Default: 0.", default=0)
    others: int = option("Number of them that others in the account use. Default: 0.", default=0)
    usage: str = option(
        "Kind of jobs that the quota limits. Default: processing.",
        default="processing",
        choices=("processing", "training"),
    )

    def problems(self) -> list[str]:
        return super().problems() + at_least(self, "instances", 0) + at_least(self, "others", 0)

    def limits(self, instance_type: str, usage: str) -> bool:
        """Return whether the quota is for instances of a type in jobs of a kind."""
        return self.usage == usage and fnmatchcase(instance_type, self.instance_type)


@dataclass(frozen=True, kw_only=True)
class NoCapacity(JobFault):
    """No instances of the type are free: the job fails before it has any.

    A job on spot capacity ends as if its longest wait was over.
    """

    KIND: ClassVar[str] = "no-capacity"
    EXAMPLE: ClassVar[str] = "--instance-type ml.m5.large --count 2"

    instance_type: str = pattern("Instance type, such as ml.m5.large")
    wait_seconds: float = option("Seconds that the job waits before it fails. Default: 0.", default=0.0)

    def problems(self) -> list[str]:
        return super().problems() + at_least(self, "wait_seconds", 0)


@dataclass(frozen=True, kw_only=True)
class TimedJobFault(JobFault):
    """A fault of a running job that waits for a moment. All conditions must be met."""

    running_seconds: float = option("Seconds that the instances must have run. Default: 0.", default=0.0)
    uploads: int = option("Number of files that the job must have uploaded while it runs. Default: 0.", default=0)
    after_log: str | None = option("Regular expression that must match a line that an instance prints.", default=None)

    def problems(self) -> list[str]:
        found = super().problems() + at_least(self, "running_seconds", 0) + at_least(self, "uploads", 0)
        try:
            re.compile(self.after_log or "")
        except re.error as error:
            found.append(f"after_log: {self.after_log!r} is not a regular expression: {error}")
        return found


@dataclass(frozen=True, kw_only=True)
class KillInstance(TimedJobFault):
    """An instance of a running job is lost, or its container is killed for its memory."""

    KIND: ClassVar[str] = "kill-instance"
    EXAMPLE: ClassVar[str] = "--job 'dev-churn-*' --objects 2"

    instance: int = option("Number of the instance, from 1. Default: 1.", default=1)
    objects: int = option("Number of objects that the instance must have scored. Default: 0.", default=0)
    cause: str = option(
        "lost: the machine and the files that it has not uploaded are gone. out-of-memory: only the container is "
        "killed. Default: lost.",
        default="lost",
        choices=("lost", "out-of-memory"),
    )

    def problems(self) -> list[str]:
        return super().problems() + at_least(self, "instance", 1) + at_least(self, "objects", 0)


@dataclass(frozen=True, kw_only=True)
class InterruptSpot(TimedJobFault):
    """The spot instances of an attempt of a training job with EnableManagedSpotTraining are taken.

    Lines of the log count from the moment when the fault was added. `uploads` counts checkpoints.
    """

    KIND: ClassVar[str] = "interrupt-spot"
    EXAMPLE: ClassVar[str] = "--job 'dev-churn-*' --uploads 2"


@dataclass(frozen=True, kw_only=True)
class FullDisk(JobFault):
    """The volume of a job's instances is too small."""

    KIND: ClassVar[str] = "full-disk"
    EXAMPLE: ClassVar[str] = "--job 'dev-churn-*'"

    volume_bytes: int | None = option(
        "Size of the volume, at least 1 MiB; needs an embedded AWS that runs as root on Linux. Default: the download "
        "of the inputs fails.",
        default=None,
    )

    def problems(self) -> list[str]:
        return super().problems() + ([] if self.volume_bytes is None else at_least(self, "volume_bytes", 1 << 20))


@dataclass(frozen=True, kw_only=True)
class UploadFault(Fault):
    """A fault of uploads from instances to S3."""

    key: str = pattern("Key of the object in its bucket")

    def concerns(self, key: str) -> bool:
        """Return whether the pattern describes a key."""
        return fnmatchcase(key, self.key)


@dataclass(frozen=True, kw_only=True)
class SlowUpload(UploadFault):
    """An upload takes longer."""

    KIND: ClassVar[str] = "slow-upload"
    EXAMPLE: ClassVar[str] = "--key 'predictions/*' --seconds 5"

    seconds: float = option("Seconds to wait before the upload. Default: 1.", default=1.0)

    def problems(self) -> list[str]:
        return super().problems() + at_least(self, "seconds", 0)


@dataclass(frozen=True, kw_only=True)
class FailUpload(UploadFault):
    """An object cannot be uploaded by one job, also when SageMaker tries again: the job fails."""

    KIND: ClassVar[str] = "fail-upload"
    EXAMPLE: ClassVar[str] = "--key 'predictions/*/a.parquet'"


@dataclass(frozen=True, kw_only=True)
class CorruptUpload(UploadFault):
    """One byte of an object that is not empty changes on its way from an instance to S3."""

    KIND: ClassVar[str] = "corrupt-upload"
    EXAMPLE: ClassVar[str] = "--key 'predictions/*/a.parquet'"
