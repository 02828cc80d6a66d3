"""Division of a job's objects between instances: by SageMaker, or by the plan into parts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sharding:
    """The plan's choice for a job of several instances, and the numbers that it depends on."""

    parts: int
    """Number of single-instance jobs that replace the job; 1 if it is not split."""
    largest_shard_bytes: int
    """Size in bytes of the largest shard if SageMaker distributes the objects."""
    mean_shard_bytes: int
    """Bytes of all objects per instance."""


@dataclass(frozen=True)
class JobPart:
    """The place of a single-instance job within its split job.

    >>> part = JobPart("delays-ua", 2, 3)
    >>> part.id, part.text
    ('delays-ua.part-2-of-3', 'part 2 of 3')
    """

    job_id: str
    """Id of the job that the execution reports."""
    number: int
    """Number of the part, from 1."""
    count: int

    @property
    def name(self) -> str:
        """Name of the part in ids and keys."""
        return f"part-{self.number}-of-{self.count}"

    @property
    def id(self) -> str:
        """Id of the part's own job record, of its folders, and of its SageMaker jobs."""
        return f"{self.job_id}.{self.name}"

    @property
    def text(self) -> str:
        return f"part {self.number} of {self.count}"
