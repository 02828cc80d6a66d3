"""All checks of a stage, group by group."""

from collections.abc import Iterator
from functools import partial

from cli.doctor.findings import Check
from cli.doctor.images import image_checks
from cli.doctor.network import network_checks
from cli.doctor.quotas import quota_checks
from cli.doctor.roles.simulation import call_findings
from cli.doctor.roles.stage_roles import stage_roles
from cli.doctor.roles.trust import trust_findings
from cli.doctor.schedules import schedule_checks
from cli.doctor.stage import DeployedStage
from cli.doctor.storage import storage_checks
from cli.doctor.workflow import workflow_checks


def stage_checks(stage: DeployedStage) -> Iterator[Check]:
    """Return every check that starts no job and changes nothing."""
    yield from quota_checks(stage)
    yield from image_checks(stage)
    roles = list(stage_roles(stage))
    for role in roles:
        yield Check("roles.trust", role.name, partial(trust_findings, stage, role))
    for role in roles:
        yield Check("roles.calls", role.name, partial(call_findings, stage, role))
    yield from storage_checks(stage)
    yield from workflow_checks(stage)
    yield from schedule_checks(stage)
    yield from network_checks(stage)
