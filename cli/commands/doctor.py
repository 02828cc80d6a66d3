"""`fleetscore doctor`: whether an account is ready for the stage's executions."""

import rich_click as click

from cli.command_line import Command
from cli.doctor.clock import clock_findings
from cli.doctor.findings import Check, Level, carry_out
from cli.failures import ExitStatus
from cli.invocation import Invocation
from cli.views.doctor import findings_json, findings_view, is_ready


@click.command(
    "doctor",
    cls=Command,
    examples="""
    fleetscore doctor
    fleetscore doctor --stage prod --json
    """,
)
@click.pass_obj
def doctor(invocation: Invocation) -> ExitStatus:
    """Check quotas, image, roles, policies, key, buckets and network of the stage.

    Starts nothing and changes nothing. The exit status is 0 when no finding is an error, and 1 otherwise. A
    check that your permissions do not allow is an error that names the missing action.
    """
    # Imported here, because only this command needs them.
    from cli.doctor.checks import stage_checks  # noqa: PLC0415
    from cli.doctor.stage import read_stage  # noqa: PLC0415

    connection, output = invocation.connection, invocation.output
    # First, because every other call fails when the clock is wrong.
    findings = list(carry_out([Check("clock", "this machine's clock", lambda: clock_findings(connection))]))
    if all(finding.level is not Level.ERROR for finding in findings):
        stage = read_stage(connection, invocation.stage)
        findings += carry_out(list(stage_checks(stage)))
    output.data(findings_json(findings), *findings_view(findings))
    return ExitStatus.SUCCEEDED if is_ready(findings) else ExitStatus.FAILED
