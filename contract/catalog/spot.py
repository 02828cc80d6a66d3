"""The longest wait of jobs on spot capacity, for training and scoring."""

from contract.problems import Problem

LONGEST_WAIT_SECONDS = 28 * 86_400
"""Largest MaxWaitTimeInSeconds, in seconds, as SageMaker documents it."""
_DEFAULT_FACTOR = 2


def spot_wait_seconds(max_runtime_seconds: int, max_wait_seconds: int | None) -> int:
    """Return MaxWaitTimeInSeconds: the limit of a job's run and its waits for capacity together.

    >>> spot_wait_seconds(3_600, None), spot_wait_seconds(3_600, 5_000)
    (7200, 5000)
    """
    wait = max_wait_seconds or min(_DEFAULT_FACTOR * max_runtime_seconds, LONGEST_WAIT_SECONDS)
    return max(wait, max_runtime_seconds)


def check_spot_wait(max_runtime_seconds: int | None, max_wait_seconds: int | None, *, spot: bool) -> list[Problem]:
    """Check that only jobs with spot have a limit, and that it is not below the run time."""
    if max_wait_seconds is None:
        return []
    problems = []
    if not spot:
        problems.append(Problem("max_wait_seconds", max_wait_seconds, "no value, because spot is false"))
    if max_runtime_seconds is not None and max_wait_seconds < max_runtime_seconds:
        expected = f"at least max_runtime_seconds, {max_runtime_seconds:,}, because the limit includes the run"
        problems.append(Problem("max_wait_seconds", max_wait_seconds, expected))
    return problems
