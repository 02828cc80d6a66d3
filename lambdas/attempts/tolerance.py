"""Check an execution's tolerance before a new attempt, and count jobs that have ended for it."""

from contract.table.records import ExecutionRecord, JobRecord
from contract.table.tolerance import NOTHING, Tally, limits_failures, passed_level, tally_of
from lambdas.errors import ToleranceExceededError
from lambdas.shown_text import shorten
from lambdas.stage.deployment import Deployment

_SHOWN_FAILURES = 2
_MAX_REASON_CHARACTERS = 160


def check_tolerance(execution: ExecutionRecord, deployment: Deployment) -> None:
    """Refuse a new attempt once more of the execution has failed than it tolerates.

    Jobs that run are not touched. The first call that finds a level passed records it, so all later
    ones give the same reason.

    Raises:
        ToleranceExceededError: when a level is passed.
    """
    table, text = deployment.table, execution.passed_level
    if not text and execution.plan is not None and limits_failures(execution.plan):
        text = passed_level(execution.plan, table.tally(execution.execution_id))
        if text:
            failures = table.first_failures(execution.execution_id, _SHOWN_FAILURES)
            shown = "; ".join(f"{job.job_id}: {shorten(job.reason, _MAX_REASON_CHARACTERS)}" for job in failures)
            text = table.record_passed_level(execution.execution_id, f"{text}; first: {shown}" if shown else text)
    if text:
        raise ToleranceExceededError(text)


def counted(job: JobRecord, execution: ExecutionRecord | None) -> Tally:
    """Return what a job that ends adds to the tally of its execution; nothing if no level can be
    passed."""
    tally = tally_of(job)
    return tally if execution is not None and limits_failures(execution.plan) else NOTHING
