"""The Lambda function at the table's stream."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBStreamEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.announce_status.announce import announce_status
from lambdas.stage.observability import logger, tracer
from lambdas.stage.resources import resources


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    stream_records = list(DynamoDBStreamEvent(event).records)
    sent = announce_status(stream_records, resources().event_bus, resources().event_bus_settings.stage)
    logger.info("statuses were announced", events=sent, records=len(stream_records))
