"""The base of both tasks: how the state is rendered, and which permissions it needs."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.sagemaker_tasks.checks import with_paths


class SageMakerSyncTask(sfn.TaskStateBase):
    """A task that creates a SageMaker job and waits for its end.

    The state machine's role gets the permissions that `.sync` needs:

    - actions on jobs whose names begin with the prefix and a hyphen
    - iam:PassRole of the job's role to SageMaker
    - the managed EventBridge rule that reports the job's end
    """

    RETRYABLE_ERRORS: ClassVar[list[str]] = [
        "SageMaker.AmazonSageMakerException",
        "SageMaker.ResourceLimitExceededException",
        # Spellings from public state machine definitions; harmless if the service never sends them.
        "SageMaker.ResourceLimitExceeded",
        "SageMaker.ThrottlingException",
    ]
    """Errors of the API call, after which no job exists. Only the first two are documented."""

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
        task_timeout = sfn.Timeout.duration(timeout) if isinstance(timeout, Duration) else timeout
        super().__init__(scope, id, comment=comment, result_path=result_path, task_timeout=task_timeout)
        self._task_timeout = task_timeout
        self._selector = dict(result_selector) if result_selector else None
        self._path_of_result = result_path

    def _set_job(
        self,
        kind: str,
        request: Mapping[str, Any],
        job_name_prefix: str,
        role: iam.IRole,
        creation_conditions: Sequence[Mapping[str, Any]],
    ) -> None:
        """Set the job's kind, `Processing` or `Training`, and its checked request."""
        self._kind = kind
        self._request = request
        self.job_arns = Stack.of(self).format_arn(
            service="sagemaker", resource=f"{kind.lower()}-job", resource_name=f"{job_name_prefix}-*"
        )
        self._statements = _statements(Stack.of(self), kind, self.job_arns, role, creation_conditions)

    @property
    def _task_metrics(self) -> sfn.TaskMetricsConfig | None:
        return None

    @property
    def _task_policies(self) -> list[iam.PolicyStatement]:
        return self._statements

    def to_state_json(self, top_level_query_language: sfn.QueryLanguage | None = None) -> Mapping[Any, Any]:
        # Renders the whole state, because TaskStateBase delegates to a method that jsii hides
        # from Python.
        if top_level_query_language == sfn.QueryLanguage.JSONATA:
            raise ValueError(f"{self.node.path}: state machines in JSONata are not supported, use JSONPath")
        state: dict[str, Any] = {
            **cast("dict[str, Any]", self._render_next_end()),
            **cast("dict[str, Any]", self._render_retry_catch()),
            "Type": "Task",
            "Comment": self._comment,
            "TimeoutSeconds": self._task_timeout.seconds if self._task_timeout else None,
            "TimeoutSecondsPath": self._task_timeout.path if self._task_timeout else None,
            "Resource": f"arn:{Stack.of(self).partition}:states:::sagemaker:create{self._kind}Job.sync",
            "Parameters": with_paths(self._request),
            "ResultSelector": self._selector,
            "ResultPath": self._path_of_result,
        }
        return {name: value for name, value in state.items() if value is not None}


def _statements(
    stack: Stack, kind: str, job_arns: str, role: iam.IRole, creation_conditions: Sequence[Mapping[str, Any]]
) -> list[iam.PolicyStatement]:
    rule = stack.format_arn(
        service="events",
        resource="rule",
        resource_name=f"StepFunctionsGetEventsForSageMaker{kind}JobsRule",
        arn_format=ArnFormat.SLASH_RESOURCE_NAME,
    )
    create = f"sagemaker:Create{kind}Job"
    return [
        *(
            iam.PolicyStatement(actions=[create], resources=[job_arns], conditions=conditions)
            for conditions in creation_conditions
        ),
        iam.PolicyStatement(
            actions=[
                *([] if creation_conditions else [create]),
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
