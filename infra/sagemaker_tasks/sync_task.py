"""A task that creates a SageMaker job and waits for its end: how its state is written, and what it
may do.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.sagemaker_tasks.checks import with_paths


class SageMakerSyncTask(sfn.TaskStateBase):
    """What the tasks for the kinds of jobs share. `request` and `job_arns` are set once a kind has
    checked its request.

    The state machine's role gets what `.sync` needs: the job's actions on names that begin with a
    prefix and a hyphen, iam:PassRole of the job's role to SageMaker, and the managed EventBridge
    rule that reports the job's end.
    """

    RETRYABLE_ERRORS: ClassVar[list[str]] = [
        "SageMaker.AmazonSageMakerException",
        "SageMaker.ResourceLimitExceededException",
        # Forms seen in public definitions; harmless where the service never sends them.
        "SageMaker.ResourceLimitExceeded",
        "SageMaker.ThrottlingException",
    ]
    """Errors of the API call, which says nothing about the job: it was not created. The first two
    are documented.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - the name that every construct uses
        *,
        timeout: sfn.Timeout | Duration | None,
        comment: str | None,
        result_path: str | None,
        result_selector: Mapping[str, Any] | None,
    ) -> None:
        wait = sfn.Timeout.duration(timeout) if isinstance(timeout, Duration) else timeout
        super().__init__(scope, id, comment=comment, result_path=result_path, task_timeout=wait)
        self._wait = wait
        self._shown_result = dict(result_selector) if result_selector else None
        self._where_result_goes = result_path

    def _runs(self, kind: str, request: Mapping[str, Any], job_name_prefix: str, role: iam.IRole) -> None:
        """Say what is run: `kind` is `Processing` or `Training`."""
        self._kind = kind
        self._request = request
        self.job_arns = Stack.of(self).format_arn(
            service="sagemaker", resource=f"{kind.lower()}-job", resource_name=f"{job_name_prefix}-*"
        )
        self._statements = _statements(Stack.of(self), kind, self.job_arns, role)

    @property
    def _task_metrics(self) -> sfn.TaskMetricsConfig | None:
        return None

    @property
    def _task_policies(self) -> list[iam.PolicyStatement]:
        return self._statements

    def to_state_json(self, top_level_query_language: sfn.QueryLanguage | None = None) -> Mapping[Any, Any]:
        # TaskStateBase delegates to a method that jsii does not show to Python, so all of the state
        # is rendered here.
        if top_level_query_language == sfn.QueryLanguage.JSONATA:
            raise ValueError(f"{self.node.path}: state machines in JSONata are not supported, use JSONPath")
        state: dict[str, Any] = {
            **cast("dict[str, Any]", self._render_next_end()),
            **cast("dict[str, Any]", self._render_retry_catch()),
            "Type": "Task",
            "Comment": self._comment,
            "TimeoutSeconds": self._wait.seconds if self._wait else None,
            "TimeoutSecondsPath": self._wait.path if self._wait else None,
            "Resource": f"arn:{Stack.of(self).partition}:states:::sagemaker:create{self._kind}Job.sync",
            "Parameters": with_paths(self._request),
            "ResultSelector": self._shown_result,
            "ResultPath": self._where_result_goes,
        }
        return {name: value for name, value in state.items() if value is not None}


def _statements(stack: Stack, kind: str, job_arns: str, role: iam.IRole) -> list[iam.PolicyStatement]:
    rule = stack.format_arn(
        service="events",
        resource="rule",
        resource_name=f"StepFunctionsGetEventsForSageMaker{kind}JobsRule",
        arn_format=ArnFormat.SLASH_RESOURCE_NAME,
    )
    return [
        iam.PolicyStatement(
            actions=[
                f"sagemaker:Create{kind}Job",
                f"sagemaker:Describe{kind}Job",
                f"sagemaker:Stop{kind}Job",
                "sagemaker:ListTags",
                "sagemaker:AddTags",
            ],
            resources=[job_arns],
        ),
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        iam.PolicyStatement(actions=["events:PutTargets", "events:PutRule", "events:DescribeRule"], resources=[rule]),
    ]
