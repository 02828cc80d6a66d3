"""`fleetscore why`: the chain from a failure to its cause."""

from collections.abc import Sequence

import rich_click as click

from cli.command_line.click_classes import Command, argument
from cli.command_line.invocation import Invocation
from cli.commands.executions.executions import latest
from cli.failures import ExitStatus
from cli.stage.diagnosis.chain import explain
from cli.stage.diagnosis.evidence import Evidence, Investigation
from cli.stage.diagnosis.failure_groups import FailureGroup
from cli.stage.diagnosis.job_choice import job_name
from cli.stage.executions.executions import Executions
from cli.views.diagnosis.causes import cause_json, causes_lines
from cli.views.diagnosis.chain import chain_json, chain_lines, verdict_line
from cli.views.diagnosis.failure_lines import failure_groups, group_lines, groups_json
from cli.views.wrapping import wrapped
from contract.status import FailureKind

_EXPLAINED_CAUSES = 8
"""Largest number of distinct causes that are explained. Each takes three calls of AWS."""


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
@argument("job", metavar="[JOB]", required=False, help="A job's id. Default: one job per distinct reason.")
@click.pass_obj
def why(invocation: Invocation, *, execution: str | None, job: str | None) -> ExitStatus:
    """Explain why an execution or a job failed, and what to do.

    Jobs that failed for the same reason share one explanation. Each line is the cause of the line
    above it, with its time in UTC. Lines from a log may have data.
    """
    deployment, output = invocation.deployment(), invocation.output
    executions = Executions(invocation.connection, deployment)
    investigation = Investigation(invocation.connection, executions)
    execution_id, job_of_name = investigation.find(execution or latest(invocation, deployment))
    evidence = investigation.read(execution_id, job or job_of_name)
    chain = explain(evidence)
    snapshot = evidence.snapshot
    groups = [] if evidence.asked_job else [g for g in failure_groups(snapshot, {}) if g.first.kind]
    # Jobs that were stopped are consequences of others.
    to_explain = [group for group in groups if group.first.kind is not FailureKind.STOPPED] or groups
    causes = _causes(investigation, evidence, to_explain)
    explained = [(group, explain(cause)) for group, cause in zip(to_explain, causes, strict=False)]
    unread = list(dict.fromkeys(text for each in (evidence, *causes) for text in each.unread))
    value = {
        "execution_id": snapshot.execution_id,
        "kind": snapshot.kind.value,
        "status": snapshot.status,
        "job_id": evidence.job.job_id if evidence.job is not None else None,
        "failures": groups_json(groups),
        **chain_json(chain),
        "causes": [cause_json(group, cause) for group, cause in explained],
        "not_read": unread,
    }
    width = output.terminal_width
    not_read = [f"Not read: {text}" for text in unread]
    if len(to_explain) > 1:
        listed = [group for group in groups if group not in to_explain]
        *lines, last = causes_lines(explained, len(to_explain), width)
    else:
        # The chain has the reason of a single failed job.
        listed = groups if sum(len(group.failures) for group in groups) > 1 else []
        *lines, last = chain_lines(chain, width)
    shared = [part for line in group_lines(listed, "reason") for part in wrapped(line, "", width)]
    output.data(value, verdict_line(chain), *shared, *lines, *not_read, last)
    return ExitStatus.SUCCEEDED


def _causes(investigation: Investigation, evidence: Evidence, groups: Sequence[FailureGroup]) -> list[Evidence]:
    """Return the evidence about an example job of each of the first groups."""
    names = [group.first.job for group in groups[:_EXPLAINED_CAUSES]]
    own = job_name(evidence.job) if evidence.job is not None else ""
    others = iter(investigation.read_others(evidence, [name for name in names if name != own]))
    return [evidence if name == own else next(others) for name in names]
