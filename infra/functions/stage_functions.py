"""How every function of a stage is made: a role and a log group of its own, the same code, traced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from aws_cdk import Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from contract import environment
from infra.assets import lambda_code
from infra.settings import Settings
from infra.stacks.storage import Storage

METRICS_NAMESPACE = "Fleetscore"


@dataclass(frozen=True)
class FunctionSize:
    """Memory is also CPU: Lambda gives a whole vCPU at 1,769 MB."""

    memory_mb: int
    timeout: Duration


@dataclass(frozen=True)
class StageFunction:
    """A function and the role that is its alone."""

    function: lambda_.Function
    role: iam.Role


class StageFunctions:
    """Makes the functions of one stack."""

    def __init__(self, stack: Stack, settings: Settings) -> None:
        self._stack = stack
        self._settings = settings
        self._storage = Storage.of(settings.stage)
        self._key = kms.Key.from_key_arn(stack, "Key", self._storage.key_arn)
        self._code = lambda_code()
        self._powertools = lambda_.LayerVersion.from_layer_version_arn(stack, "Powertools", self._layer_arn())

    def make(
        self,
        scope: Construct,
        name: str,
        size: FunctionSize,
        *,
        statements: Sequence[iam.PolicyStatement],
        variables: Mapping[str, str],
    ) -> StageFunction:
        """The function whose code is `lambdas/<name>`."""
        id = construct_id(name)  # noqa: A001
        role = iam.Role(
            scope,
            f"{id}Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"What {name} needs and nothing else",
        )
        for statement in statements:
            role.add_to_policy(statement)
        log_group = self.log_group(scope, f"{id}Logs")
        log_group.grant_write(role)
        function = lambda_.Function(
            scope,
            id,
            description=f"Fleetscore {self._settings.stage}: {name}",
            runtime=lambda_.Runtime(self._settings.lambda_runtime, lambda_.RuntimeFamily.PYTHON),
            architecture=lambda_.Architecture.ARM_64,
            code=self._code,
            handler=f"lambdas.{name}.handler.handler",
            layers=[self._powertools],
            role=role,
            memory_size=size.memory_mb,
            timeout=size.timeout,
            tracing=lambda_.Tracing.ACTIVE,
            log_group=log_group,
            environment={
                environment.STAGE: self._settings.stage,
                **variables,
                "POWERTOOLS_SERVICE_NAME": "fleetscore",
                "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
                "POWERTOOLS_LOG_LEVEL": self._settings.log_level,
            },
        )
        return StageFunction(function, role)

    def log_group(self, scope: Construct, id: str, name: str | None = None) -> logs.LogGroup:  # noqa: A002
        group = logs.LogGroup(
            scope,
            id,
            log_group_name=name,
            encryption_key=self._key,
            removal_policy=RemovalPolicy.DESTROY if self._settings.removal == "destroy" else RemovalPolicy.RETAIN,
        )
        # RetentionDays names periods in words; the settings have CloudWatch's numbers.
        cast("logs.CfnLogGroup", group.node.default_child).retention_in_days = self._settings.log_retention_days
        return group

    def _layer_arn(self) -> str:
        return (
            self._settings.powertools_layer_arn.replace("{partition}", Aws.PARTITION)
            .replace("{region}", Aws.REGION)
            .replace("{runtime}", self._settings.lambda_runtime.replace(".", ""))
        )


def construct_id(function: str) -> str:
    """`plan_execution` -> `PlanExecution`, also the name of its state."""
    return "".join(word.capitalize() for word in function.split("_"))
