"""How the objects of a job with several instances are divided: by SageMaker, or by the plan into parts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sharding:
    """The plan's choice for a job of several instances, and the numbers that it depends on."""

    parts: int
    """Number of jobs of one instance that the plan makes of the job. 1 if SageMaker deals the objects
    to the instances, by number."""
    largest_shard_bytes: int
    """Size of the largest shard if the objects are dealt in the order of their keys, in turn."""
    mean_shard_bytes: int
    """Bytes of all objects per instance."""


@dataclass(frozen=True)
class JobPart:
    """Which part of which job a job of one instance is.

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
