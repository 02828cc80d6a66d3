"""The workflow stack: the functions, the two state machines, and the events around them."""

from typing import cast

from aws_cdk import ArnFormat, Aws, CfnOutput, Duration, Environment, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.compute.images import scoring_images
from infra.definitions.scoring_definition import ScoringDefinition
from infra.definitions.training_definition import TrainingDefinition
from infra.functions.function_factory import FunctionFactory
from infra.functions.lateness_alarms import LatenessAlarms
from infra.functions.reconciliation import Reconciliation
from infra.functions.status_events import StatusEvents
from infra.functions.workflow_functions import workflow_functions
from infra.permissions import allow
from infra.settings import AppSettings
from infra.stack_outputs import (
    CHECK_FUNCTION_ARN,
    STATE_MACHINE_ARN,
    TRAINING_STATE_MACHINE_ARN,
    JobRoles,
    Storage,
    export_name,
    log_delivery_arn,
    state_machine_names,
)

_DATA_KEY_REUSE_SECONDS = 900
"""Seconds for which Step Functions reuses a data key: the maximum, to limit KMS requests."""


class WorkflowStack(Stack):
    """The functions, each with its own role, the state machines that call them, and their logs."""

    def __init__(self, scope: Construct, id: str, *, settings: AppSettings) -> None:  # noqa: A002
        super().__init__(
            scope,
            id,
            env=Environment(account=settings.account, region=settings.region),
            description="Fleetscore: functions and state machines",
        )
        self.stage = settings.stage
        self._longest_execution = Duration.days(settings.execution_days)
        scoring_name, training_name = state_machine_names(settings.stage)
        storage, job_roles = Storage.of(settings.stage), JobRoles.of(settings.stage)
        self._factory = FunctionFactory(self, settings)
        image_uris = {variant: image.uri for variant, image in scoring_images(self, settings).items()}
        created = {
            spec.name: self._factory.create(self, spec) for spec in workflow_functions(settings, storage, image_uris)
        }
        self.function_roles = {name: stage_function.role for name, stage_function in created.items()}
        self.functions = {name: stage_function.function for name, stage_function in created.items()}

        self.training_state_machine_role = self._state_machine_role(
            "TrainingStateMachineRole", "Calls this stage's functions and runs its training jobs"
        )
        self.training_definition = TrainingDefinition(
            self,
            "TrainingDefinition",
            settings=settings,
            storage=storage,
            job_roles=job_roles,
            functions=self.functions,
        )
        self.training_state_machine = self._state_machine(
            "Training",
            training_name,
            "Trains a fleet of models and promotes those that pass their rule",
            self.training_definition,
            self.training_state_machine_role,
        )
        self.state_machine_role = self._state_machine_role(
            "StateMachineRole", "Calls this stage's functions and runs its processing jobs"
        )
        self.scoring_definition = ScoringDefinition(
            self,
            "Definition",
            settings=settings,
            storage=storage,
            job_roles=job_roles,
            functions=self.functions,
            training=self.training_state_machine,
        )
        self.state_machine = self._state_machine(
            "",
            scoring_name,
            "Scores datasets with a fleet of models",
            self.scoring_definition,
            self.state_machine_role,
        )

        self.reconciliation = Reconciliation(
            self,
            "Closing",
            stage=settings.stage,
            state_machines=[self.state_machine, self.training_state_machine],
            function=self.functions["reconcile"],
            key=self._factory.key,
        )
        LatenessAlarms(self, "Lateness", stage=settings.stage)
        self.status_events = StatusEvents(
            self, "Announcements", stage=settings.stage, storage=storage, functions=self._factory
        )
        for name, arn, description in (
            (STATE_MACHINE_ARN, self.state_machine.state_machine_arn, "State machine of scoring executions"),
            (
                TRAINING_STATE_MACHINE_ARN,
                self.training_state_machine.state_machine_arn,
                "State machine of training executions",
            ),
            (CHECK_FUNCTION_ARN, self.functions["check_request"].function_arn, "Function that checks requests"),
        ):
            CfnOutput(self, name, value=arn, description=description, export_name=export_name(settings.stage, name))

    def _state_machine_role(self, id: str, description: str) -> iam.Role:  # noqa: A002
        return iam.Role(
            self,
            id,
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            description=description,
        )

    def _state_machine(
        self, prefix: str, name: str, comment: str, definition: ScoringDefinition | TrainingDefinition, role: iam.Role
    ) -> sfn.StateMachine:
        """Create a state machine and its log group, whose construct ids begin with `prefix`."""
        # The path below /aws/vendedlogs keeps the account's log resource policy short. The stack's
        # unique id keeps a new deployment from colliding with the log group that an earlier one
        # left behind.
        stack_uid = Fn.select(2, Fn.split("/", Aws.STACK_ID))
        log_group = self._factory.log_group(self, f"{prefix}Logs", f"/aws/vendedlogs/states/{name}-{stack_uid}")
        for statement in [*definition.permissions, *self._encryption_permissions()]:
            role.add_to_policy(statement)
        machine = sfn.StateMachine(
            self,
            f"{prefix}StateMachine",
            state_machine_name=name,
            state_machine_type=sfn.StateMachineType.STANDARD,
            definition_body=sfn.DefinitionBody.from_chainable(definition.start),
            comment=comment,
            # Records outlive every execution: see the settings.
            timeout=self._longest_execution,
            role=role,
            tracing_enabled=True,
            # Every event, but never the data that passes between states. Requests, failure texts
            # and object keys can reveal something about the people whose data is scored; records
            # and ledger have what operators need.
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
        )
        # Set on the CloudFormation resource: the construct's own option needs the key itself, and
        # does not consider the children of a Map.
        cast(
            "sfn.CfnStateMachine", machine.node.default_child
        ).encryption_configuration = sfn.CfnStateMachine.EncryptionConfigurationProperty(
            type="CUSTOMER_MANAGED_KMS_KEY",
            kms_key_id=self._factory.key.key_arn,
            kms_data_key_reuse_period_seconds=_DATA_KEY_REUSE_SECONDS,
        )
        return machine

    def _encryption_permissions(self) -> list[iam.PolicyStatement]:
        """Allow a machine's role to encrypt executions and their logs."""
        # The children of a Map have the machine's ARN with a suffix.
        machines = [
            self.format_arn(
                service="states", resource="stateMachine", resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
            )
            for name in state_machine_names(self.stage)
        ]
        context = [f"{arn}{suffix}" for arn in machines for suffix in ("", "/*", ":*")]
        key = self._factory.key.key_arn
        return [
            allow(
                ["kms:Decrypt", "kms:GenerateDataKey"],
                key,
                conditions={"StringLike": {"kms:EncryptionContext:aws:states:stateMachineArn": context}},
            ),
            allow(
                ["kms:GenerateDataKey"],
                key,
                conditions={"StringEquals": {"kms:EncryptionContext:SourceArn": log_delivery_arn()}},
            ),
        ]
