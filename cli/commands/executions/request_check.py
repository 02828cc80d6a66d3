"""The option --check of `fleetscore run` and `fleetscore train`."""

from botocore.exceptions import BotoCoreError, ClientError

from cli.command_line.invocation import Invocation
from cli.failures import CommandError, ExitStatus, describe
from cli.stage.executions.request_check import check_on_stage
from cli.views.executions.request_check import check_json, check_view, problems_text
from contract.problems import InvalidInputError
from contract.status import ExecutionKind


def check(invocation: Invocation, kind: ExecutionKind, request_json: str, extent: str) -> ExitStatus:
    """Check a request up to `extent`, print the result, and return the exit status."""
    output = invocation.output
    if extent == "form":
        text = "The request's form is valid. Catalog and data were not checked. Nothing was started."
        output.data({"valid": True, "checked": "form"}, text)
        return ExitStatus.SUCCEEDED
    try:
        found = check_on_stage(invocation.connection, invocation.stage, kind, request_json)
    except (CommandError, InvalidInputError, ClientError, BotoCoreError) as error:
        return _only_the_form(invocation, error)
    if found.problem_count and not output.as_json:
        raise CommandError(problems_text(found))
    output.data(check_json(found), *check_view(found))
    return ExitStatus.REFUSED if found.problem_count else ExitStatus.SUCCEEDED


def _only_the_form(invocation: Invocation, error: Exception) -> ExitStatus:
    """Report that the stage could not check the request, and why."""
    described = describe(error)
    if described is None:
        raise error
    why = described[0]
    # Not `true`, because the request was not checked completely.
    invocation.output.data({"valid": None, "checked": "form", "reason": why})
    invocation.output.notice(
        f"fleetscore: {why}\nOnly the request's form was checked, and it is valid. Catalog and data were not checked. "
        "To check the form only, use --check=form."
    )
    return ExitStatus.AWS
