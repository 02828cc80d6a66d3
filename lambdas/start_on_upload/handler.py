"""The Lambda function behind the uploads' queue. It answers with the messages that are to be delivered again."""

import os
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from lambdas.stage.deployment import this_deployment
from lambdas.stage.observability import logger, tracer
from lambdas.stage.parallel import THREADS
from lambdas.stage.settings import UploadSettings, read_upload_settings
from lambdas.start_on_upload.start import read_records, start_on_upload
from lambdas.stage.upload_queue import Outside


@cache
def _this_deployments_uploads() -> UploadSettings:
    return read_upload_settings(os.environ)


@cache
def _outside() -> Outside:
    settings = _this_deployments_uploads()
    return Outside(
        # A refusal is not waited for here: the message comes back later.
        boto3.client("stepfunctions", config=Config(retries={"mode": "standard", "max_attempts": 3})),
        boto3.client("sqs", config=Config(max_pool_connections=THREADS, retries={"mode": "standard"})),
        state_machine_arn=settings.state_machine_arn,
        queue_url=settings.queue_url,
    )


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    messages = read_records(event)
    rules = {rule.dataset: rule for rule in _this_deployments_uploads().rules}
    again = start_on_upload(messages, rules, this_deployment(), _outside())
    logger.info("read a batch of messages", count=len(messages), again=len(again))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}
