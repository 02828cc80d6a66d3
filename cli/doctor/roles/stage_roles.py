"""Every role of a stage, with its calls."""

from collections.abc import Iterator
from dataclasses import dataclass

from cli.doctor.roles.calls import LAMBDA, SAGEMAKER, SCHEDULER, STATES, Call, CallMaker
from cli.doctor.roles.function_calls import function_calls, schedule_calls
from cli.doctor.roles.job_calls import scoring_job_calls, spot_job_calls, training_job_calls
from cli.doctor.roles.workflow_calls import workflow_calls
from cli.doctor.stage import DeployedStage


@dataclass(frozen=True)
class Role:
    """A role with the service that assumes it, and its calls."""

    name: str
    arn: str
    service: str
    calls: tuple[Call, ...]
    needs_source_account: bool = True
    """Whether only requests for this account's resources may assume it."""


def stage_roles(stage: DeployedStage) -> Iterator[Role]:
    """Return every role of the stage that a job, the workflow or a trigger uses."""
    make = CallMaker(stage)
    yield Role("scoring jobs", stage.job_role_arn, SAGEMAKER, tuple(scoring_job_calls(make)))
    yield Role("training jobs", stage.training_role_arn, SAGEMAKER, tuple(training_job_calls(make)))
    yield Role("scoring jobs on spot capacity", stage.spot_role_arn, SAGEMAKER, tuple(spot_job_calls(make)))
    for kind, machine in stage.machines.items():
        yield Role(f"{kind} workflow", machine["roleArn"], STATES, tuple(workflow_calls(make, kind)))
    for name, function in sorted(stage.functions.items()):
        made = tuple(function_calls(make, name, function))
        yield Role(name, function["Role"], LAMBDA, made, needs_source_account=False)
    yield Role("schedules", stage.triggers["ScheduleRoleArn"], SCHEDULER, tuple(schedule_calls(make)))
