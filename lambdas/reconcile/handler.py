"""The Lambda function of the rules that reconcile records and SageMaker jobs with what really runs."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.reconcile.events import read_event
from lambdas.reconcile.reconcile import Reconciler
from lambdas.stage.observability import logger, tracer
from lambdas.stage.resources import resources
from lambdas.stage.time_left import time_left


@logger.inject_lambda_context(correlation_id_path="detail.name", clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    found = resources()
    reconciler = Reconciler(
        deployment=found.deployment,
        open_executions=found.open_executions,
        executions=found.execution_reader,
        jobs=found.sagemaker_jobs,
        tokens=found.task_tokens,
        seconds_left=time_left(context),
    )
    done = reconciler.handle(read_event(event, found.execution_reader.read))
    logger.info("reconciled", **asdict(done))
    return asdict(done)
