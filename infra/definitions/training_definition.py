"""The training workflow, top to bottom: the execution first, then one job."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract import environment
from contract.workflow.messages import REQUEST_FIELD, AttemptInput, JobPointer, PlanInput, TrainingAttemptPlan, path_of
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
)
from infra.sagemaker_tasks import SageMakerTrainingJob
from infra.settings import AppSettings
from infra.stack_outputs import JobRoles, Storage

MAP_LABEL = "TrainModels"

_TIMEOUT_FIELD = "timeout_seconds"


class TrainingDefinition(Construct):
    """The states of the training workflow.

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
            parameters={REQUEST_FIELD: sfn.JsonPath.object_at("$")},
        )
        plan_training = self._states.call(
            "PlanTraining",
            "plan_training",
            "Checks request and recipes before anything is created. Pins recipes and objects, so that later changes do "
            "not affect this execution.",
            message(PlanInput, **EXECUTION, request=f"$.{REQUEST_FIELD}"),
        )
        train_models = self._states.fan_out(MAP_LABEL)
        summarize_execution = self._states.summarize_execution()

        plan_training.add_catch(summarize_execution, result_path=FAILURE)
        train_models.item_processor(self._job())
        train_models.add_catch(summarize_execution, result_path=FAILURE)
        self.start = wrap_input.next(plan_training).next(train_models).next(summarize_execution)
        self.permissions = map_permissions(storage)

    def _job(self) -> sfn.IChainable:
        """Return the first state of a job, which trains one version of one model.

        The job makes attempts until one succeeds or fails for good.
        """
        record_attempt = self._states.call(
            "RecordAttempt",
            "record_attempt",
            "Opens an attempt with a new job name, which resumes from the last checkpoint of the previous attempt, "
            "once it has an instance.",
            message(AttemptInput, **JOB, entered_at=ENTERED_AT, child_arn=EXECUTION["execution_arn"]),
            result_selector=self._attempt_plan(),
            result_path=PLAN,
        )
        may_start = sfn.Choice(
            self,
            "MayStart?",
            comment="Waits if a quota is used up. Skips the job if it would only repeat the training of the model's "
            "last version.",
        )
        run_training_job = self.run_training_job = self._training_job()
        register_model_version = self._states.call(
            "RegisterModelVersion",
            "register_model_version",
            "Checks the artifact of a completed job. Writes version, promotion and the job's end together, so that "
            "a failed job never leaves a version.",
            message(JobPointer, **JOB),
            # The results of all children are exported together, so each is as small as can be: {}.
            output_path=sfn.JsonPath.DISCARD,
        )
        classify_failure = self._states.classify_failure(record_attempt)

        record_attempt.add_catch(classify_failure, result_path=FAILURE)
        run_training_job.add_catch(classify_failure, result_path=FAILURE)
        register_model_version.add_catch(classify_failure, result_path=FAILURE)
        run_training_job.next(register_model_version)
        wait = path_of(TrainingAttemptPlan, "wait_seconds", at=PLAN)
        may_start.when(sfn.Condition.number_greater_than(wait, 0), self._states.wait_for_capacity(record_attempt))
        may_start.when(
            sfn.Condition.boolean_equals(path_of(TrainingAttemptPlan, "unchanged", at=PLAN), True),
            register_model_version,
        )
        may_start.otherwise(self._states.wait_for_start().next(run_training_job))
        return record_attempt.next(may_start)

    def _training_job(self) -> SageMakerTrainingJob:
        def planned(field: str) -> str:
            return path_of(TrainingAttemptPlan, field, at=PLAN)

        settings = self._settings
        job = SageMakerTrainingJob(
            self,
            "RunTrainingJob",
            comment="Trains the model. Retries only the job's creation: a job that ran and failed needs a new name.",
            job_name=planned("training_job_name"),
            job_name_prefix=settings.stage,
            image_uri=planned("image_uri"),
            role=iam.Role.from_role_arn(self, "TrainingRole", self._job_roles.training_role_arn, mutable=False),
            # Paths, because jobs differ in their channels and only a spot job may set a wait for
            # capacity.
            channels=planned("channels"),
            hyperparameters=planned("hyperparameters"),
            stopping_condition_path=planned("stopping_condition"),
            spot=planned("spot"),
            output_uri=planned("output_uri"),
            output_kms_key_id=self._storage.key_arn,
            checkpoints_uri=planned("checkpoints_uri"),
            instances_path=planned("resources"),
            creation_conditions=creation_conditions(settings, self._storage),
            # SageMaker enforces the limits. This timeout only ends the wait for a job whose end is
            # never reported.
            timeout=sfn.Timeout.at(f"{PLAN}.{_TIMEOUT_FIELD}"),
            network=job_network(settings),
            environment=job_variables(
                TrainingAttemptPlan, environment.EXECUTION_ID, environment.JOB_ID, environment.ATTEMPT
            ),
            tags=job_tags(settings.stage),
            result_path=sfn.JsonPath.DISCARD,
        )
        retry_creation(job)
        return job

    def _attempt_plan(self) -> dict[str, Any]:
        """Return the attempt's plan with the state's timeout."""
        names = [field.name for field in fields_of(TrainingAttemptPlan)]
        plan = {name: sfn.JsonPath.object_at(path_of(TrainingAttemptPlan, name)) for name in names}
        longest = sfn.JsonPath.number_at(path_of(TrainingAttemptPlan, "longest_seconds"))
        return {**plan, _TIMEOUT_FIELD: sfn.JsonPath.math_add(longest, self._settings.provisioning_margin_seconds)}
