"""The Lambda function at the uploads' queue.

It returns the messages that must be delivered again.
"""

from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.stage.observability import logger, tracer
from lambdas.stage.resources import resources
from lambdas.start_on_upload.start import start_on_upload


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    messages = list(SQSEvent(event).records)
    this = resources()
    rules = {rule.dataset: rule for rule in this.upload_settings.rules}
    failed = start_on_upload(messages, rules, this.deployment, this.upload_starter, this.upload_queue)
    logger.info("read a batch of messages", count=len(messages), again=len(failed))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
