"""The workflow's stack: the five functions, each with a role of its own, and the state machine."""

import json

from aws_cdk import Aws, CfnOutput, Duration, Environment, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract import codec, environment
from infra.announcements import Announcements
from infra.closing import ClosingRule
from infra.compute import JobPlatform
from infra.definition import Definition
from infra.function_permissions import statements_of
from infra.functions import FunctionSize, StageFunctions
from infra.images import scoring_images
from infra.settings import Settings
from infra.storage import Storage, export_name

STATE_MACHINE_ARN = "StateMachineArn"

FUNCTIONS = {
    # Lists whole datasets and writes one job spec a job, in parallel.
    "plan_execution": FunctionSize(1_769, Duration.minutes(15)),
    # Read a ledger of one marker an object and model.
    "record_attempt": FunctionSize(1_769, Duration.minutes(15)),
    "verify_output": FunctionSize(1_769, Duration.minutes(15)),
    "classify_failure": FunctionSize(512, Duration.minutes(1)),
    # Reads every job record of an execution.
    "summarize_execution": FunctionSize(1_769, Duration.minutes(15)),
}


class WorkflowStack(Stack):
    """Functions, state machine and their logs."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002
        super().__init__(
            scope,
            id,
            env=Environment(account=settings.account, region=settings.region),
            description="Fleetscore: functions and state machine",
        )
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
        self.state_machine_role = self._state_machine_role()
        self.definition = Definition(
            self,
            "Definition",
            settings=settings,
            storage=self._storage,
            platform=JobPlatform.of(settings.stage, scoring_images(self, settings)),
            functions=self.functions,
        )
        self.state_machine = self._state_machine()
        self.closing = ClosingRule(
            self,
            "Closing",
            state_machine=self.state_machine,
            function=self.functions["summarize_execution"],
        )
        self.announcements = Announcements(
            self, "Announcements", stage=settings.stage, storage=self._storage, functions=self._maker
        )
        CfnOutput(
            self,
            STATE_MACHINE_ARN,
            value=self.state_machine.state_machine_arn,
            description="Start executions of this",
            export_name=export_name(settings.stage, STATE_MACHINE_ARN),
        )

    def _environment(self, name: str) -> dict[str, str]:
        settings, storage = self._settings, self._storage
        variables = {
            environment.TABLE_NAME: storage.table_name,
            environment.DATASETS_BUCKET: storage.datasets_bucket,
            environment.MODELS_BUCKET: storage.models_bucket,
            environment.RESULTS_BUCKET: storage.results_bucket,
            environment.RECORD_DAYS: str(settings.record_days),
        }
        if name == "plan_execution":
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

    def _state_machine_role(self) -> iam.Role:
        return iam.Role(
            self,
            "StateMachineRole",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            description="Calls this stage's functions and runs its processing jobs",
        )

    def _state_machine(self) -> sfn.StateMachine:
        settings = self._settings
        # The prefix keeps the account's log resource policy short; the stack's own id keeps a new deployment from
        # meeting the log group that an earlier one has left.
        stack_uid = Fn.select(2, Fn.split("/", Aws.STACK_ID))
        log_group = self._maker.log_group(
            self, "Logs", f"/aws/vendedlogs/states/fleetscore-{settings.stage}-{stack_uid}"
        )
        for statement in self.definition.statements:
            self.state_machine_role.add_to_policy(statement)
        return sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=f"fleetscore-{settings.stage}",
            state_machine_type=sfn.StateMachineType.STANDARD,
            definition_body=sfn.DefinitionBody.from_chainable(self.definition.start),
            comment="Scores datasets with a fleet of models",
            role=self.state_machine_role,
            tracing_enabled=True,
            # Every event, but never what passes between states: a request, a failure's text and object keys can tell
            # about the people whose data is scored. Records and the ledger hold what operators need.
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
        )
