"""The Lambda function at the table's stream."""

import os
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from contract import environment
from lambdas.announce_status.announce import announce_status
from lambdas.stage.observability import logger, tracer


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    stage, bus = os.environ[environment.STAGE], os.environ[environment.EVENT_BUS_NAME]
    sent = announce_status(event["Records"], eventbridge=_eventbridge(), stage=stage, bus=bus)
    logger.info("statuses were announced", events=sent, records=len(event["Records"]))


@cache
def _eventbridge() -> Any:
    return boto3.client("events", config=Config(retries={"mode": "standard", "max_attempts": 8}))
