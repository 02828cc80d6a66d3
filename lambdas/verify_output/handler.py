"""The Lambda function of the state VerifyOutput."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.codec import to_json
from contract.workflow.messages import DESCRIPTION_FIELD, VerifyInput
from lambdas.attempts.checksums import ChecksumRules
from lambdas.attempts.job_events import read_job_pointer
from lambdas.stage.observability import EXECUTION_ID_PATH, logger, tracer
from lambdas.stage.resources import resources
from lambdas.verify_output.verify import verify_output


@logger.inject_lambda_context(correlation_id_path=EXECUTION_ID_PATH, clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    pointer = VerifyInput(**vars(read_job_pointer(event)), description=event.get(DESCRIPTION_FIELD))
    logger.append_keys(job_id=pointer.job_id, attempt=pointer.attempt)
    rules = ChecksumRules.until_timeout(resources().compared_checksums, context)
    result = verify_output(pointer, resources().deployment, rules)
    logger.info("the job has succeeded")
    return to_json(result)
