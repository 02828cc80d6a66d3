"""`fleetscore doctor`: whether an account is ready for the stage's executions."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.command_line.output import Output
from cli.doctor.clock import clock_findings
from cli.doctor.findings import Check, Finding, Level, run_checks
from cli.failures import ExitStatus
from cli.views.doctor import closing_view, finding_lines, findings_json, is_ready

if TYPE_CHECKING:
    from cli.doctor.stage import DeployedStage


@click.command(
    "doctor",
    cls=Command,
    examples="""
    fleetscore doctor
    fleetscore doctor --job
    fleetscore doctor --stage prod --json
    """,
)
@click.option(
    "--job",
    is_flag=True,
    help="Also run one processing job on one instance for a few minutes, which is billed, and compare its report with "
    "the code's assumptions.",
)
@click.option("--training-job", is_flag=True, help="The same with a training job.")
@click.option(
    "--instance-type", metavar="TYPE", help="Instance type of that job. Default: the one of the stage's settings."
)
@click.pass_obj
def doctor(invocation: Invocation, *, job: bool, training_job: bool, instance_type: str | None) -> ExitStatus:
    """Check quotas, image, roles, policies, key, buckets and network of the stage.

    Without --job and --training-job, it starts nothing and changes nothing. The exit status is 0
    when no finding is an error, and 1 otherwise. A check that your permissions do not allow is an
    error that names the missing action.
    """
    # Imported here, because only this command needs them.
    from cli.doctor.checks import stage_checks  # noqa: PLC0415
    from cli.doctor.stage import read_stage  # noqa: PLC0415

    if instance_type and not (job or training_job):
        raise click.UsageError("--instance-type is the type of the job that is run. Add --job or --training-job.")
    connection, output = invocation.connection, invocation.output
    # First, because every other call fails when the clock is wrong or AWS cannot be reached.
    output.notice(f"Checking stage {invocation.stage} ...")
    findings: list[Finding] = []
    _show(clock_findings(connection), findings, output)
    if is_ready(findings):
        stage = read_stage(connection, invocation.stage)
        _show(run_checks(list(stage_checks(stage))), findings, output)
        if (job or training_job) and is_ready(findings):
            invocation.announce(stage.deployment.state_machine_arn)
            makers = ([_processing_check] if job else []) + ([_training_check] if training_job else [])
            _show(run_checks([make(stage, instance_type, output.notice) for make in makers]), findings, output)
        elif job or training_job:
            output.notice("No job was started, because a finding above is an error.")
    output.data(findings_json(findings), *closing_view(findings))
    return ExitStatus.SUCCEEDED if is_ready(findings) else ExitStatus.FAILED


def _show(found: Iterable[Finding], findings: list[Finding], output: Output) -> None:
    """Add findings to a list, and show at once those that need nothing to be done. The others come last."""
    for finding in found:
        findings.append(finding)
        if finding.level is Level.OK:
            output.show(*finding_lines(finding))


def _processing_check(stage: "DeployedStage", instance_type: str | None, notice: Callable[[str], None]) -> Check:
    """Return the check that runs the inspection as a processing job."""
    from cli.doctor.job.assumptions import assumption_findings  # noqa: PLC0415
    from cli.doctor.job.processing_inspection import run_inspection  # noqa: PLC0415

    def inspect() -> Iterator[Finding]:
        inspected = run_inspection(stage, instance_type, notice=notice)
        yield from assumption_findings(inspected, int(stage.compute.volume_size_gb or 0))

    return Check("job.completed", "inspection job", inspect)


def _training_check(stage: "DeployedStage", instance_type: str | None, notice: Callable[[str], None]) -> Check:
    """Return the check that runs the inspection as a training job."""
    from cli.doctor.job.training_inspection import run_training_inspection, training_findings  # noqa: PLC0415

    def inspect() -> Iterator[Finding]:
        yield from training_findings(run_training_inspection(stage, instance_type, notice=notice))

    return Check("training.completed", "inspection as a training job", inspect)
