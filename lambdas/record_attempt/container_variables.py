"""The environment variables of an attempt's containers."""

from contract import environment
from contract.job.scoring_spec import DEFAULT_BATCH_ROWS
from contract.table.records import AttemptRecord


def container_variables(attempt: AttemptRecord) -> dict[str, str]:
    """Return the names for the lines of the log, and what the attempt changes in the job's spec.

    The spec is immutable, and all attempts share it.
    """
    return {
        environment.EXECUTION_ID: attempt.execution_id,
        environment.JOB_ID: attempt.job_id,
        environment.ATTEMPT: str(attempt.attempt),
        # Attempts of trainings, and of earlier releases, have none.
        environment.BATCH_ROWS: str(attempt.batch_rows or DEFAULT_BATCH_ROWS),
    }
