"""The Lambda function of the state RegisterModelVersion."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.codec import to_json
from lambdas.deployment import this_deployment
from lambdas.events import job_pointer
from lambdas.observability import EXECUTION_ID_PATH, logger, tracer
from lambdas.register_model_version.action import register_model_version


@logger.inject_lambda_context(correlation_id_path=EXECUTION_ID_PATH, clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    pointer = job_pointer(event)
    logger.append_keys(job_id=pointer.job_id, attempt=pointer.attempt)
    result = register_model_version(pointer, this_deployment())
    logger.info("the job has succeeded")
    return to_json(result)
