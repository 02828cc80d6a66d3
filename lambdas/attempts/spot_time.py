"""Add the time of an attempt on spot capacity to that of its job."""

from typing import Any

from contract.job.spot_time import SpotTime, read_spot_time
from contract.table.records import JobRecord


def spot_time_after(job: JobRecord, description: Any) -> SpotTime | None:
    """Return the time of the job's attempts, of which SageMaker describes the last one."""
    if not job.scores_on_spot:
        return None
    return (job.spot_time or SpotTime()) + read_spot_time(description)
