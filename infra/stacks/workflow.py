"""The workflows' stack: the functions, each with a role of its own, and the two state machines."""

import json

from aws_cdk import Aws, CfnOutput, Duration, Environment, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract import codec, environment
from infra.compute.images import scoring_images
from infra.definitions.scoring_definition import Definition
from infra.definitions.training_definition import TrainingDefinition
from infra.functions.function_permissions import statements_of
from infra.functions.record_closing_rule import ClosingRule
from infra.functions.stage_functions import FunctionSize, StageFunctions
from infra.functions.status_events import Announcements
from infra.settings import Settings
from infra.stacks.compute import JobPlatform
from infra.stacks.storage import Storage, export_name

STATE_MACHINE_ARN = "StateMachineArn"
TRAINING_STATE_MACHINE_ARN = "TrainingStateMachineArn"

FUNCTIONS = {
    # Lists whole datasets and writes one job spec a job, in parallel.
    "plan_execution": FunctionSize(1_769, Duration.minutes(15)),
    # Read a ledger of one marker an object and model.
    "record_attempt": FunctionSize(1_769, Duration.minutes(15)),
    "verify_output": FunctionSize(1_769, Duration.minutes(15)),
    "classify_failure": FunctionSize(512, Duration.minutes(1)),
    # Reads every job record of an execution.
    "summarize_execution": FunctionSize(1_769, Duration.minutes(15)),
    "prepare_training": FunctionSize(512, Duration.minutes(5)),
    "plan_training": FunctionSize(1_769, Duration.minutes(15)),
    # Reads a whole artifact once, whatever its size, and has S3 copy it.
    "register_model_version": FunctionSize(1_769, Duration.minutes(15)),
}


class WorkflowStack(Stack):
    """Functions, state machines and their logs."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002
        super().__init__(
            scope,
            id,
            env=Environment(account=settings.account, region=settings.region),
            description="Fleetscore: functions and state machines",
        )
        self.stage = settings.stage
        self._settings = settings
        self._storage = Storage.of(settings.stage)
        self._maker = StageFunctions(self, settings)
        made = {
            name: self._maker.make(
                self,
                name,
                size,
                statements=statements_of(name, self._storage),
                variables=self._environment(name),
            )
            for name, size in FUNCTIONS.items()
        }
        self.function_roles = {name: stage_function.role for name, stage_function in made.items()}
        self.functions = {name: stage_function.function for name, stage_function in made.items()}
        self.training_state_machine_role = self._state_machine_role(
            "TrainingStateMachineRole", "Calls this stage's functions and runs its training jobs"
        )
        self.training_definition = TrainingDefinition(
            self,
            "TrainingDefinition",
            settings=settings,
            storage=self._storage,
            platform=JobPlatform.of(settings.stage),
            functions=self.functions,
        )
        self.training_state_machine = self._state_machine(
            "Training",
            f"fleetscore-{settings.stage}-training",
            "Trains a fleet of models and promotes what is good enough",
            self.training_definition,
            self.training_state_machine_role,
        )
        self.state_machine_role = self._state_machine_role(
            "StateMachineRole", "Calls this stage's functions and runs its processing jobs"
        )
        self.definition = Definition(
            self,
            "Definition",
            settings=settings,
            storage=self._storage,
            platform=JobPlatform.of(settings.stage),
            functions=self.functions,
            training=self.training_state_machine,
        )
        self.state_machine = self._state_machine(
            "",
            f"fleetscore-{settings.stage}",
            "Scores datasets with a fleet of models",
            self.definition,
            self.state_machine_role,
        )
        self.closing = ClosingRule(
            self,
            "Closing",
            state_machines=[self.state_machine, self.training_state_machine],
            function=self.functions["summarize_execution"],
        )
        self.announcements = Announcements(
            self, "Announcements", stage=settings.stage, storage=self._storage, functions=self._maker
        )
        for name, machine, description in (
            (STATE_MACHINE_ARN, self.state_machine, "Start executions of this"),
            (TRAINING_STATE_MACHINE_ARN, self.training_state_machine, "Start training executions of this"),
        ):
            exported = export_name(settings.stage, name)
            CfnOutput(self, name, value=machine.state_machine_arn, description=description, export_name=exported)

    def _environment(self, name: str) -> dict[str, str]:
        settings, storage = self._settings, self._storage
        variables = {
            environment.TABLE_NAME: storage.table_name,
            environment.DATASETS_BUCKET: storage.datasets_bucket,
            environment.MODELS_BUCKET: storage.models_bucket,
            environment.RESULTS_BUCKET: storage.results_bucket,
            environment.RECORD_DAYS: str(settings.record_days),
        }
        if name in ("plan_execution", "plan_training"):
            tolerated = settings.default_tolerated_failure_percentage
            variables |= {
                environment.DEFAULT_COMPUTE: json.dumps(codec.to_json(settings.compute)),
                environment.DEFAULT_MAX_CONCURRENCY: str(settings.default_max_concurrency),
                environment.DEFAULT_TOLERATED_FAILURE_PERCENTAGE: f"{tolerated:g}",
                environment.IMAGE_URIS: json.dumps(
                    {variant: image.uri for variant, image in scoring_images(self, settings).items()}
                ),
            }
        return variables

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
        self, prefix: str, name: str, comment: str, definition: Definition | TrainingDefinition, role: iam.Role
    ) -> sfn.StateMachine:
        """A state machine and its logs; `prefix` begins their ids."""
        # The prefix keeps the account's log resource policy short; the stack's own id keeps a new deployment from
        # meeting the log group that an earlier one has left.
        stack_uid = Fn.select(2, Fn.split("/", Aws.STACK_ID))
        log_group = self._maker.log_group(self, f"{prefix}Logs", f"/aws/vendedlogs/states/{name}-{stack_uid}")
        for statement in definition.statements:
            role.add_to_policy(statement)
        return sfn.StateMachine(
            self,
            f"{prefix}StateMachine",
            state_machine_name=name,
            state_machine_type=sfn.StateMachineType.STANDARD,
            definition_body=sfn.DefinitionBody.from_chainable(definition.start),
            comment=comment,
            role=role,
            tracing_enabled=True,
            # Every event, but never what passes between states: a request, a failure's text and object keys can tell
            # about the people whose data is scored. Records and the ledger hold what operators need.
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
        )
