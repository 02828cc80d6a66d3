"""The Lambda function of the state RecordAttempt."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.codec import to_json
from contract.workflow.messages import TrainingAttemptPlan
from lambdas.attempts.checksums import ChecksumRules
from lambdas.attempts.job_events import read_attempt_input
from lambdas.record_attempt.record import record_attempt
from lambdas.stage.observability import EXECUTION_ID_PATH, logger, tracer
from lambdas.stage.resources import resources


@logger.inject_lambda_context(correlation_id_path=EXECUTION_ID_PATH, clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    attempt = read_attempt_input(event)
    logger.append_keys(job_id=attempt.job_id, attempt=attempt.attempt)
    rules = ChecksumRules.until_timeout(resources().compared_checksums, context)
    plan = record_attempt(attempt, resources().deployment, rules)
    if plan.wait_seconds:
        logger.info("the attempt waits for instances", wait_seconds=plan.wait_seconds)
    elif isinstance(plan, TrainingAttemptPlan):
        logger.info("opened the attempt", training_job_name=plan.training_job_name, spot=plan.spot)
    else:
        logger.info("opened the attempt", sagemaker_job_name=plan.sagemaker_job_name, nothing_left=plan.nothing_left)
    return to_json(plan)
