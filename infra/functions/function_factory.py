"""Creates every function of a stage, with its own role and log group, shared code and tracing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from aws_cdk import Aws, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from contract import environment
from infra.assets import lambda_code
from infra.permissions import allow, via
from infra.removal import removal_policy
from infra.settings import AppSettings
from infra.stack_outputs import Storage

METRICS_NAMESPACE, METRICS_SERVICE = "Fleetscore", "fleetscore"
"""Namespace of the functions' metrics, and their value of the dimension `service`."""
ONE_VCPU_MB = 1_769
"""Memory at which Lambda gives a function one whole vCPU, in MB; less memory means less CPU."""


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """Code, size, environment and permissions of a function."""

    name: str
    """Folder of the code below `lambdas`, such as `plan_execution`."""
    memory_mb: int
    timeout: Duration
    permissions: Sequence[iam.PolicyStatement]
    """Permissions of its role, besides writing its own logs and traces."""
    variables: Mapping[str, str]
    """Environment variables, besides those that every function has."""

    @property
    def construct_id(self) -> str:
        """The name in CamelCase; in the workflows also the name of the function's state."""
        return "".join(word.capitalize() for word in self.name.split("_"))


@dataclass(frozen=True)
class StageFunction:
    """A function and the role that no other function shares."""

    function: lambda_.Function
    role: iam.Role


class FunctionFactory:
    """Creates the functions of one stack."""

    def __init__(self, stack: Stack, settings: AppSettings) -> None:
        self._settings = settings
        self.key = kms.Key.from_key_arn(stack, "Key", Storage.of(settings.stage).key_arn)
        self._code = lambda_code()
        self._powertools = lambda_.LayerVersion.from_layer_version_arn(stack, "Powertools", self._layer_arn())

    def create(self, scope: Construct, spec: FunctionSpec) -> StageFunction:
        role = iam.Role(
            scope,
            f"{spec.construct_id}Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"Permissions of {spec.name} only",
        )
        for statement in spec.permissions:
            role.add_to_policy(statement)
        role.add_to_policy(allow(["kms:Decrypt"], self.key.key_arn, conditions=via("lambda")))
        log_group = self.log_group(scope, f"{spec.construct_id}Logs")
        log_group.grant_write(role)
        function = lambda_.Function(
            scope,
            spec.construct_id,
            description=f"Fleetscore {self._settings.stage}: {spec.name}",
            runtime=lambda_.Runtime(self._settings.lambda_runtime, lambda_.RuntimeFamily.PYTHON),
            architecture=lambda_.Architecture.ARM_64,
            code=self._code,
            handler=f"lambdas.{spec.name}.handler.handler",
            layers=[self._powertools],
            role=role,
            memory_size=spec.memory_mb,
            timeout=spec.timeout,
            tracing=lambda_.Tracing.ACTIVE,
            log_group=log_group,
            environment_encryption=self.key,
            environment={
                environment.STAGE: self._settings.stage,
                **spec.variables,
                "POWERTOOLS_SERVICE_NAME": METRICS_SERVICE,
                "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
                "POWERTOOLS_LOG_LEVEL": self._settings.log_level,
            },
        )
        return StageFunction(function, role)

    def log_group(self, scope: Construct, id: str, name: str | None = None) -> logs.LogGroup:  # noqa: A002
        """Create an encrypted log group that expires as the settings say."""
        group = logs.LogGroup(
            scope,
            id,
            log_group_name=name,
            encryption_key=self.key,
            removal_policy=removal_policy(self._settings),
        )
        # The RetentionDays enum names periods in words; the settings use CloudWatch's numbers.
        cast("logs.CfnLogGroup", group.node.default_child).retention_in_days = self._settings.log_retention_days
        return group

    def _layer_arn(self) -> str:
        return (
            self._settings.powertools_layer_arn.replace("{partition}", Aws.PARTITION)
            .replace("{region}", Aws.REGION)
            .replace("{runtime}", self._settings.lambda_runtime.replace(".", ""))
        )
