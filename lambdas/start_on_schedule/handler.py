"""The Lambda function that EventBridge Scheduler calls."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.codec import from_json
from contract.triggers.schedules import ScheduledStart
from lambdas.stage.observability import logger, tracer
from lambdas.stage.resources import resources
from lambdas.start_on_schedule.start import start_on_schedule


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    start = from_json(ScheduledStart, event)
    result = start_on_schedule(start, resources().scheduled_starter)
    logger.set_correlation_id(result.execution_id)
    text = "repeated delivery: the execution has already ended" if result.name_was_used else "the execution is started"
    logger.info(text, schedule=start.schedule, scheduled_time=start.scheduled_time)
    return {"execution_id": result.execution_id, "name_was_used": result.name_was_used}
