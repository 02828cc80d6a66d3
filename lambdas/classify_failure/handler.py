"""The Lambda function of the state ClassifyFailure."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.codec import from_json, to_json
from contract.workflow.messages import AttemptFailure
from lambdas.attempts.checksums import ChecksumRules
from lambdas.classify_failure.classify import classify_failure
from lambdas.stage.observability import EXECUTION_ID_PATH, logger, tracer
from lambdas.stage.resources import resources
from lambdas.stage.time_left import time_left


@logger.inject_lambda_context(correlation_id_path=EXECUTION_ID_PATH, clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    failure = from_json(AttemptFailure, event)
    logger.append_keys(job_id=failure.job_id, attempt=failure.attempt)
    # It compares no checksums, but copies outputs while there is time.
    rules = ChecksumRules("sampled", time_left(context))
    decision = classify_failure(failure, resources().deployment, resources().sagemaker_jobs, rules)
    is_same = decision.attempt == failure.attempt and decision.try_again
    message = "the attempt waits for SageMaker" if is_same else "the attempt has failed"
    logger.info(message, kind=decision.kind, try_again=decision.try_again, reason=decision.reason)
    return to_json(decision)
