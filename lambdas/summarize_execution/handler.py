"""The Lambda function of the state SummarizeExecution.

A rule also calls it when an execution ends before that state.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.codec import to_json
from lambdas.closing.close import close_execution
from lambdas.stage.observability import logger, tracer
from lambdas.stage.resources import resources
from lambdas.stage.time_left import time_left
from lambdas.summarize_execution.summary_input import read_summary_input

_EXECUTION_ID_PATH = "execution_id || detail.name"


@logger.inject_lambda_context(correlation_id_path=_EXECUTION_ID_PATH, clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    summary_input = read_summary_input(event, resources().execution_reader.read)
    if summary_input is None:
        logger.info("the execution was redriven after this event: its records stay open")
        return {}
    outcome = close_execution(summary_input, resources().deployment, resources().task_tokens, time_left(context))
    logger.info("the execution has ended", status=outcome.status, cause=outcome.cause)
    return to_json(outcome)
