"""The Lambda function of the state PlanExecution."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.codec import from_json, to_json
from contract.workflow.messages import ExecutionPlanInput
from lambdas.plan_execution.plan import plan_execution
from lambdas.stage.observability import EXECUTION_ID_PATH, logger, tracer
from lambdas.stage.resources import resources


@logger.inject_lambda_context(correlation_id_path=EXECUTION_ID_PATH, clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    found = resources()
    plan = plan_execution(from_json(ExecutionPlanInput, event), found.deployment, found.plan_defaults, found.activity)
    logger.info("planned the execution", job_count=plan.job_count, max_concurrency=plan.max_concurrency)
    return to_json(plan)
