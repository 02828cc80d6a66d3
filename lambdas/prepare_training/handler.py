"""The Lambda function of the state PrepareTraining."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.codec import from_json, to_json
from contract.workflow.messages import PlanInput
from lambdas.prepare_training.prepare import prepare_training
from lambdas.stage.observability import EXECUTION_ID_PATH, logger, tracer
from lambdas.stage.resources import resources


@logger.inject_lambda_context(correlation_id_path=EXECUTION_ID_PATH, clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    training = prepare_training(from_json(PlanInput, event), resources().deployment)
    logger.info("prepared the training", training_execution_id=training.name)
    return to_json(training)
