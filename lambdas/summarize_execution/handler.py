"""The Lambda function of the state SummarizeExecution."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.codec import from_json, to_json
from contract.workflow.messages import SummaryInput
from lambdas.closing.close import close_execution
from lambdas.stage.observability import EXECUTION_ID_PATH, logger, tracer
from lambdas.stage.resources import resources
from lambdas.stage.time_left import time_left


@logger.inject_lambda_context(correlation_id_path=EXECUTION_ID_PATH, clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    found = resources()
    ended = from_json(SummaryInput, event)
    outcome = close_execution(ended, found.deployment, found.task_tokens, time_left(context))
    logger.info("the execution has ended", status=outcome.status, cause=outcome.cause)
    return to_json(outcome)
