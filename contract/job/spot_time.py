"""What SageMaker has billed of jobs on spot capacity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SpotTime:
    """Seconds of instances on spot capacity, summed over attempts."""

    training_seconds: int = 0
    """Seconds that the jobs took, with their interruptions: TrainingTimeInSeconds."""
    billable_seconds: int = 0
    """Seconds that are billed at the price of training instances: BillableTimeInSeconds."""

    def __add__(self, other: "SpotTime") -> "SpotTime":
        return SpotTime(self.training_seconds + other.training_seconds, self.billable_seconds + other.billable_seconds)

    @property
    def text(self) -> str:
        """A sentence for people; empty if SageMaker reported nothing.

        >>> SpotTime(4_000, 1_200).text, SpotTime().text
        ('SageMaker billed 1,200 of 4,000 seconds on spot capacity, 70% less', '')
        """
        if not self.training_seconds:
            return ""
        saved = max(0.0, 1 - self.billable_seconds / self.training_seconds)
        figures = f"{self.billable_seconds:,} of {self.training_seconds:,} seconds"
        return f"SageMaker billed {figures} on spot capacity, {saved:.0%} less"


def read_spot_time(description: Any) -> SpotTime:
    """Return the time in SageMaker's description of a training job; none where it reports none.

    >>> read_spot_time({"TrainingTimeInSeconds": 40, "BillableTimeInSeconds": 12})
    SpotTime(training_seconds=40, billable_seconds=12)
    >>> read_spot_time({"ProcessingJobStatus": "Completed"})
    SpotTime(training_seconds=0, billable_seconds=0)
    """
    if not isinstance(description, Mapping):
        return SpotTime()
    training, billable = (description.get(f"{name}TimeInSeconds") for name in ("Training", "Billable"))
    if not (isinstance(training, int) and isinstance(billable, int) and billable >= 0 and training >= 0):
        return SpotTime()
    return SpotTime(training, billable)
