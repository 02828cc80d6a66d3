"""`fleetscore why`: the chain from a failure to its cause."""

import rich_click as click

from cli.command_line.click_classes import Command, argument
from cli.command_line.invocation import Invocation
from cli.commands.executions import latest
from cli.failures import ExitStatus
from cli.stage.diagnosis.chain import explain
from cli.stage.diagnosis.evidence import Investigation
from cli.stage.executions import Executions
from cli.views.diagnosis.chain import chain_json, chain_lines, verdict_line
from cli.views.diagnosis.failure_lines import failure_groups, group_lines, groups_json


@click.command(
    "why",
    cls=Command,
    examples="""
    fleetscore why
    fleetscore why nightly-2026-03-01
    fleetscore why nightly-2026-03-01 churn
    fleetscore why dev-churn-c110064683774e22-1
    """,
)
@argument(
    "execution",
    metavar="[EXECUTION]",
    required=False,
    help="An execution's id or ARN, or a SageMaker job's name. Default: the latest scoring.",
)
@argument("job", metavar="[JOB]", required=False, help="A job's id. Default: the first that failed.")
@click.pass_obj
def why(invocation: Invocation, *, execution: str | None, job: str | None) -> ExitStatus:
    """Explain why an execution or a job failed, and what to do.

    Each line is the cause of the line above it, with its time in UTC. Lines from a log may have data.
    """
    deployment, output = invocation.deployment(), invocation.output
    executions = Executions(invocation.connection, deployment)
    investigation = Investigation(invocation.connection, executions)
    execution_id, job_of_name = investigation.find(execution or latest(invocation, deployment))
    evidence = investigation.read(execution_id, job or job_of_name)
    chain = explain(evidence)
    snapshot = evidence.snapshot
    groups = [] if evidence.asked_job else [g for g in failure_groups(snapshot, {}) if g.first.kind]
    value = {
        "execution_id": snapshot.execution_id,
        "kind": snapshot.kind.value,
        "status": snapshot.status,
        "job_id": evidence.job.job_id if evidence.job is not None else None,
        "failures": groups_json(groups),
        **chain_json(chain),
        "not_read": list(evidence.unread),
    }
    # The chain has the reason of a single failed job.
    several = sum(len(group.failures) for group in groups) > 1
    width = output.console.width if output.console.is_terminal else None
    output.data(
        value,
        verdict_line(chain),
        *(group_lines(groups, "reason") if several else ()),
        *chain_lines(chain, width)[:-1],
        *(f"Not read: {text}" for text in evidence.unread),
        chain_lines(chain, width)[-1],
    )
    return ExitStatus.SUCCEEDED
