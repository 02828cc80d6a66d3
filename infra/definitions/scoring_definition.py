"""The scoring workflow, top to bottom: the execution first, then one job."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract import container_paths, environment
from contract.workflow.messages import (
    DESCRIPTION_FIELD,
    REQUEST_FIELD,
    TRAINING_FIELD,
    AttemptInput,
    AttemptPlan,
    ExecutionPlanInput,
    PlanInput,
    TrainingStart,
    VerifyInput,
    path_of,
)
from infra.definitions.error_names import Retry, Service, names_of
from infra.definitions.job_requests import creation_conditions, job_network, job_tags, job_variables, retry_creation
from infra.definitions.shared_states import (
    ENTERED_AT,
    EXECUTION,
    FAILURE,
    JOB,
    PLAN,
    WorkflowStates,
    fields_of,
    map_permissions,
    message,
    retry_copying,
)
from infra.sagemaker_tasks import (
    DataType,
    Distribution,
    ProcessingInput,
    ProcessingOutput,
    SageMakerProcessingJob,
    SageMakerTrainingJob,
    TrainingChannel,
    UploadMode,
)
from infra.settings import AppSettings
from infra.stack_outputs import JobRoles, Storage

MAP_LABEL = "ScoreModels"

_REQUEST = f"$.{REQUEST_FIELD}"
_TRAINING = f"$.{TRAINING_FIELD}"
_TIMEOUT_FIELD = "timeout_seconds"
_VARIABLES = (environment.EXECUTION_ID, environment.JOB_ID, environment.ATTEMPT, environment.BATCH_ROWS)
"""Environment variables of containers that score, from the attempt's plan."""
_DESCRIPTION = f"{PLAN}.{DESCRIPTION_FIELD}"


class ScoringDefinition(Construct):
    """The states of the scoring workflow.

    `start` is the first state. `permissions` are the policy statements that the tasks do not add to
    the role.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        settings: AppSettings,
        storage: Storage,
        job_roles: JobRoles,
        functions: Mapping[str, lambda_.IFunction],
        training: sfn.IStateMachine,
    ) -> None:
        super().__init__(scope, id)
        self._settings = settings
        self._storage = storage
        self._job_roles = job_roles
        self._states = WorkflowStates(self, functions, storage)

        wrap_input = sfn.Pass(
            self,
            "WrapInput",
            comment="Wraps the input, which may be any JSON: a Catch can add a failure to an object only.",
            parameters={REQUEST_FIELD: sfn.JsonPath.object_at("$"), TRAINING_FIELD: {}},
        )
        train_first = sfn.Choice(
            self, "TrainFirst?", comment="Trains only if the request asks for it; `{}` goes straight to planning."
        )
        prepare_training = self._states.call(
            "PrepareTraining",
            "prepare_training",
            "Refuses an invalid request before training costs anything, and names the training after this execution.",
            message(PlanInput, **EXECUTION, request=_REQUEST),
            result_path=_TRAINING,
        )
        run_training = self._run_training(training)
        plan_execution = self._states.call(
            "PlanExecution",
            "plan_execution",
            "Checks the whole request before anything is created. Pins models and objects, so that later changes do "
            "not affect this execution.",
            message(
                ExecutionPlanInput,
                **EXECUTION,
                request=_REQUEST,
                training=_TRAINING,
                entered_at="$$.State.EnteredTime",
            ),
        )
        # A stopped job has two minutes to end, and then uploads its outputs.
        plan_execution.add_retry(
            errors=["ResumedJobRunningError"],
            interval=Duration.seconds(10),
            backoff_rate=1.5,
            max_attempts=20,
            max_delay=Duration.minutes(1),
            jitter_strategy=sfn.JitterType.FULL,
        )
        score_models = self._states.fan_out(MAP_LABEL)
        summarize_execution = self._states.summarize_execution()

        prepare_training.add_catch(summarize_execution, result_path=FAILURE)
        # PlanExecution handles a failed training: the request says whether to score nevertheless.
        run_training.add_catch(plan_execution, result_path=f"{_TRAINING}.failure")
        plan_execution.add_catch(summarize_execution, result_path=FAILURE)
        score_models.item_processor(self._job())
        score_models.add_catch(summarize_execution, result_path=FAILURE)
        train = f"{_REQUEST}.train"
        requested = sfn.Condition.and_(
            sfn.Condition.is_present(train), sfn.Condition.not_(sfn.Condition.is_null(train))
        )
        train_first.when(requested, prepare_training.next(run_training).next(plan_execution))
        train_first.otherwise(plan_execution)
        plan_execution.next(score_models).next(summarize_execution)
        self.start = wrap_input.next(train_first)
        self.permissions = map_permissions(storage)

    def _run_training(self, training: sfn.IStateMachine) -> tasks.StepFunctionsStartExecution:
        run_training = tasks.StepFunctionsStartExecution(
            self,
            "RunTraining",
            comment="Trains in a separate execution, which can be watched and stopped on its own.",
            state_machine=training,
            name=sfn.JsonPath.string_at(path_of(TrainingStart, "name", at=_TRAINING)),
            input=sfn.TaskInput.from_json_path_at(path_of(TrainingStart, "input", at=_TRAINING)),
            integration_pattern=sfn.IntegrationPattern.RUN_JOB,
            result_path=sfn.JsonPath.DISCARD,
        )
        # Safe to retry: the same name and input never start a second execution.
        run_training.add_retry(
            errors=names_of(Service.STEP_FUNCTIONS, Retry.UNAVAILABLE, Retry.QUOTA),
            interval=Duration.seconds(5),
            backoff_rate=2,
            max_attempts=6,
            max_delay=Duration.minutes(2),
            jitter_strategy=sfn.JitterType.FULL,
        )
        return run_training

    def _job(self) -> sfn.IChainable:
        """Return the first state of a job.

        The job makes attempts until one succeeds or fails for good.
        """
        record_attempt = self._states.call(
            "RecordAttempt",
            "record_attempt",
            "Opens an attempt with a new job name, for the objects that are not committed yet, once it has instances.",
            message(AttemptInput, **JOB, entered_at=ENTERED_AT, child_arn=EXECUTION["execution_arn"]),
            result_selector=self._attempt_plan(),
            result_path=PLAN,
        )
        may_start = sfn.Choice(
            self,
            "MayStart?",
            comment="Waits if a quota is used up. Skips the job if earlier attempts committed every object: SageMaker "
            "fails a job without input.",
        )
        on_spot = sfn.Choice(
            self, "Spot?", comment="Spot capacity exists for training jobs only, so that those score too."
        )
        run_processing_job = self.run_processing_job = self._processing_job()
        run_spot_job = self.run_spot_job = self._spot_job()
        verify_output = self._states.call(
            "VerifyOutput",
            "verify_output",
            "Checks that every input row was scored or quarantined and that the outputs are in S3: a completed job may "
            "still have missed some.",
            message(VerifyInput, **JOB, description=_DESCRIPTION),
            # The results of all children are exported together, so each is as small as can be: {}.
            output_path=sfn.JsonPath.DISCARD,
        )
        retry_copying(record_attempt, verify_output)
        classify_failure = self._states.classify_failure(record_attempt)

        record_attempt.add_catch(classify_failure, result_path=FAILURE)
        run_processing_job.add_catch(classify_failure, result_path=FAILURE)
        verify_output.add_catch(classify_failure, result_path=FAILURE)
        run_spot_job.add_catch(classify_failure, result_path=FAILURE)
        run_processing_job.next(verify_output)
        run_spot_job.next(verify_output)
        on_spot.when(sfn.Condition.boolean_equals(path_of(AttemptPlan, "spot", at=PLAN), True), run_spot_job)
        on_spot.otherwise(run_processing_job)
        wait = path_of(AttemptPlan, "wait_seconds", at=PLAN)
        may_start.when(sfn.Condition.number_greater_than(wait, 0), self._states.wait_for_capacity(record_attempt))
        may_start.when(
            sfn.Condition.boolean_equals(path_of(AttemptPlan, "nothing_left", at=PLAN), True),
            verify_output,
        )
        may_start.otherwise(self._states.wait_for_start().next(on_spot))
        return record_attempt.next(may_start)

    def _spot_job(self) -> SageMakerTrainingJob:
        settings = self._settings

        def channel(name: str, uri: str, data_type: DataType = DataType.S3_PREFIX) -> TrainingChannel:
            return TrainingChannel(name=name, s3_uri=_planned(uri), data_type=data_type)

        job = SageMakerTrainingJob(
            self,
            "RunSpotJob",
            comment="Scores the data on spot capacity. After an interruption, it goes on after its last commit.",
            job_name=_planned("sagemaker_job_name"),
            job_name_prefix=settings.stage,
            image_uri=_planned("image_uri"),
            role=iam.Role.from_role_arn(self, "SpotRole", self._job_roles.spot_role_arn, mutable=False),
            channels=[
                channel("spec", "spec_uri"),
                channel("snapshot", "snapshot_uri"),
                channel("data", "data_manifest_uri", DataType.MANIFEST_FILE),
                channel("models", "models_manifest_uri", DataType.MANIFEST_FILE),
            ],
            instances_path=_planned("cluster"),
            creation_conditions=creation_conditions(settings, self._storage),
            max_runtime_seconds=_planned("max_runtime_seconds"),
            max_wait_seconds=_planned("max_wait_seconds"),
            spot=True,
            checkpoints_uri=_planned("checkpoints_uri"),
            output_uri=_planned("model_output_uri"),
            output_kms_key_id=self._storage.key_arn,
            timeout=sfn.Timeout.at(f"{PLAN}.{_TIMEOUT_FIELD}"),
            network=job_network(settings),
            environment={
                **job_variables(AttemptPlan, *_VARIABLES),
                # The container has the argument `train`, as in every training job.
                environment.SCORES_IN_TRAINING_JOB: "1",
            },
            tags=job_tags(settings.stage),
            result_path=_DESCRIPTION,
        )
        retry_creation(job)
        return job

    def _processing_job(self) -> SageMakerProcessingJob:
        def channel(name: str, uri: str, data_type: DataType, distribution: Distribution) -> ProcessingInput:
            return ProcessingInput(
                name=name,
                s3_uri=_planned(uri),
                local_path=container_paths.container_path("input", name),
                data_type=data_type,
                distribution=distribution,
            )

        def output(name: str, uri: str) -> ProcessingOutput:
            # Continuous upload keeps the finished files of a killed attempt for the next one.
            return ProcessingOutput(
                name=name,
                s3_uri=_planned(uri),
                local_path=container_paths.container_path("output", name),
                upload_mode=UploadMode.CONTINUOUS,
            )

        settings = self._settings
        job = SageMakerProcessingJob(
            self,
            "RunProcessingJob",
            comment="Scores the data. Retries only the job's creation: a job that ran and failed needs a new name.",
            job_name=_planned("sagemaker_job_name"),
            job_name_prefix=settings.stage,
            image_uri=_planned("image_uri"),
            role=iam.Role.from_role_arn(self, "JobRole", self._job_roles.scoring_role_arn, mutable=False),
            instances_path=_planned("cluster"),
            creation_conditions=creation_conditions(settings, self._storage),
            max_runtime_seconds=_planned("max_runtime_seconds"),
            # SageMaker enforces the run time. This timeout only ends the wait for a job whose end
            # is never reported.
            timeout=sfn.Timeout.at(f"{PLAN}.{_TIMEOUT_FIELD}"),
            inputs=[
                channel("spec", "spec_uri", DataType.S3_PREFIX, Distribution.FULLY_REPLICATED),
                channel("snapshot", "snapshot_uri", DataType.S3_PREFIX, Distribution.FULLY_REPLICATED),
                channel("data", "data_manifest_uri", DataType.MANIFEST_FILE, Distribution.SHARDED_BY_S3_KEY),
                channel("models", "models_manifest_uri", DataType.MANIFEST_FILE, Distribution.FULLY_REPLICATED),
            ],
            outputs=[
                output("predictions", "predictions_uri"),
                output("quarantine", "quarantine_uri"),
                output("ledger", "ledger_uri"),
            ],
            output_kms_key_id=self._storage.key_arn,
            network=job_network(settings),
            environment=job_variables(AttemptPlan, *_VARIABLES),
            tags=job_tags(settings.stage),
            # The whole description, because a JSONPath to a field that is missing would fail the job.
            result_path=_DESCRIPTION,
        )
        retry_creation(job)
        return job

    def _attempt_plan(self) -> dict[str, Any]:
        """Return the attempt's plan and the state's timeout."""
        plan = {
            field.name: sfn.JsonPath.object_at(path_of(AttemptPlan, field.name)) for field in fields_of(AttemptPlan)
        }
        longest = sfn.JsonPath.number_at(path_of(AttemptPlan, "longest_seconds"))
        # VerifyOutput takes a description, which a job without anything to score has not.
        return {
            **plan,
            DESCRIPTION_FIELD: {},
            _TIMEOUT_FIELD: sfn.JsonPath.math_add(longest, self._settings.provisioning_margin_seconds),
        }


def _planned(field: str) -> str:
    """Return the JSONPath of a field of the attempt's plan."""
    return path_of(AttemptPlan, field, at=PLAN)
