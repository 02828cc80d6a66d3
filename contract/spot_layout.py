"""S3 keys of scoring on spot capacity: the checkpoints of attempts, until they are copied to the job's outputs."""

from typing import Literal

SPOT_PREFIX = "spot/"
"""Checkpoints of training jobs that score on spot capacity, in the results bucket.

What they have committed is copied from here, so that these files may expire soon.
"""
LEDGER_FOLDER = "ledger"
PREDICTIONS_FOLDER = "predictions"
QUARANTINE_FOLDER = "quarantine"
"""Folders of a scoring job's outputs in its container, and below the checkpoints of an attempt."""


def spot_job_prefix(execution_id: str, job_id: str) -> str:
    return f"{SPOT_PREFIX}{execution_id}/{job_id}/"


def spot_checkpoints_prefix(execution_id: str, job_id: str, attempt: int | Literal["*"]) -> str:
    """Return the prefix of what one attempt on spot capacity has written.

    Each attempt has its own, so that it restores only what its own interrupted runs have written:
    what earlier attempts have committed is among the outputs of the job.

    >>> spot_checkpoints_prefix("nightly-1", "delays-ua", 2)
    'spot/nightly-1/delays-ua/2/checkpoints/'
    """
    return f"{spot_job_prefix(execution_id, job_id)}{attempt}/checkpoints/"


def spot_ledger_prefix(execution_id: str, job_id: str, attempt: int) -> str:
    """Return the prefix of what an attempt on spot capacity has committed, until it is copied."""
    return f"{spot_checkpoints_prefix(execution_id, job_id, attempt)}{LEDGER_FOLDER}/"


def spot_output_prefix(execution_id: str, job_id: str, attempt: int | Literal["*"]) -> str:
    """Return the prefix below which SageMaker writes the empty model of an attempt on spot capacity."""
    return f"{spot_job_prefix(execution_id, job_id)}{attempt}/output/"
