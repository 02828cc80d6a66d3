"""The Lambda function that checks and plans requests for the command."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.codec import from_json
from contract.workflow.request_check import CheckInput, to_answer
from lambdas.check_request.check import check_request
from lambdas.stage.observability import logger, tracer
from lambdas.stage.resources import resources


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    found = resources()
    check = check_request(from_json(CheckInput, event), found.reading_deployment(), found.plan_defaults, found.activity)
    logger.info("checked a request", problem_count=check.problem_count, job_count=check.job_count)
    return to_answer(check)
