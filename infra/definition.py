"""The workflow's definition, top to bottom: the execution first, then one job."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract import layout
from contract.codec import SCHEMA_VERSION, SCHEMA_VERSION_FIELD
from contract.messages import (
    FAILURE_FIELD,
    REQUEST_FIELD,
    AttemptFailure,
    AttemptPlan,
    ExecutionOutcome,
    ExecutionPlan,
    FailureDecision,
    JobPointer,
    PlanInput,
    SummaryInput,
    path_of,
)
from contract.status import ExecutionStatus
from infra.compute import JobPlatform
from infra.sagemaker_tasks import (
    DataType,
    Distribution,
    ProcessingInput,
    ProcessingNetwork,
    ProcessingOutput,
    SageMakerProcessingJob,
    UploadMode,
)
from infra.settings import Settings
from infra.storage import Storage

MAP_LABEL = "ScoreModels"

_FAILURE = f"$.{FAILURE_FIELD}"
_PLAN = "$.plan"
_TIMEOUT_FIELD = "timeout_seconds"

_LAMBDA_ERRORS = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.ClientExecutionTimeoutException",
)
_CRASHES = ("Sandbox.Timedout", "Runtime.ExitError", "Lambda.Unknown")
"""A function that ran out of time or memory, in the names that Lambda and Step Functions have for it."""
_QUOTA_ERRORS = ("SageMaker.ResourceLimitExceededException", "SageMaker.ResourceLimitExceeded")


class Definition(Construct):
    """The states. `start` is the first, `statements` is what the state machine's role needs beyond its tasks."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        settings: Settings,
        storage: Storage,
        platform: JobPlatform,
        functions: Mapping[str, lambda_.IFunction],
    ) -> None:
        super().__init__(scope, id)
        self._settings = settings
        self._storage = storage
        self._platform = platform
        self._functions = functions

        hold_request = sfn.Pass(
            self,
            "HoldRequest",
            comment="An input may be any JSON, but only an object has room for the failure that a Catch adds to it.",
            parameters={REQUEST_FIELD: sfn.JsonPath.object_at("$")},
        )
        plan_execution = self._call(
            "PlanExecution",
            "plan_execution",
            "Checks the whole request before anything is created, and pins models and objects for all that follows.",
            _message(
                PlanInput,
                execution_id="$$.Execution.Name",
                execution_arn="$$.Execution.Id",
                started_at="$$.Execution.StartTime",
                request=f"$.{REQUEST_FIELD}",
            ),
        )
        score_models = sfn.DistributedMap(
            self,
            "ScoreModels",
            comment=(
                "One child execution a job, so that thousands of jobs fit. Jobs come from S3 and results stay there: a "
                "state holds 256 KB at most. By default no failed job stops the others."
            ),
            label=MAP_LABEL,
            # Express children cannot wait for a processing job.
            map_execution_type=sfn.StateMachineType.STANDARD,
            item_reader=sfn.S3JsonItemReader(
                bucket_name_path=sfn.JsonPath.string_at(path_of(ExecutionPlan, "jobs_bucket")),
                key=sfn.JsonPath.string_at(path_of(ExecutionPlan, "jobs_key")),
            ),
            max_concurrency_path=path_of(ExecutionPlan, "max_concurrency"),
            tolerated_failure_percentage_path=path_of(ExecutionPlan, "tolerated_failure_percentage"),
            result_path=sfn.JsonPath.DISCARD,
        )
        summarize_execution = self._call(
            "SummarizeExecution",
            "summarize_execution",
            "Always runs, so that every record is closed and every execution leaves a summary, whatever went wrong.",
            _message(
                SummaryInput,
                execution_id="$$.Execution.Name",
                execution_arn="$$.Execution.Id",
                started_at="$$.Execution.StartTime",
                state="$",
            ),
        )
        outcome = sfn.Choice(
            self,
            "Outcome?",
            comment="The records know how it ended: a Map that tolerates failures ends well even if every job failed.",
        )
        succeeded = sfn.Succeed(self, "Succeeded", comment="Every job succeeded.")
        partly_failed = sfn.Fail(
            self,
            "PartlyFailed",
            comment="Some jobs failed. A Fail state, because an incomplete result must never read as a success.",
            error="Fleetscore.PartlyFailed",
            cause_path=path_of(ExecutionOutcome, "cause"),
        )
        failed = sfn.Fail(
            self,
            "Failed",
            comment="The request was refused, or no job succeeded. The cause says which, and what to do.",
            error="Fleetscore.Failed",
            cause_path=path_of(ExecutionOutcome, "cause"),
        )
        not_recorded = sfn.Fail(
            self,
            "ExecutionNotRecorded",
            comment="The end could not be written down: the one path on which records may stay open.",
            error="Fleetscore.ExecutionNotRecorded",
            cause_path=f"{_FAILURE}.Cause",
        )

        plan_execution.add_catch(summarize_execution, result_path=_FAILURE)
        score_models.item_processor(self._job())
        score_models.add_catch(summarize_execution, result_path=_FAILURE)
        # It does the same thing when it is called again, and nothing else would close the records.
        summarize_execution.add_retry(
            errors=["States.ALL"],
            interval=Duration.seconds(5),
            backoff_rate=2,
            max_attempts=6,
            max_delay=Duration.minutes(2),
            jitter_strategy=sfn.JitterType.FULL,
        )
        summarize_execution.add_catch(not_recorded, result_path=_FAILURE)
        status = path_of(ExecutionOutcome, "status")
        outcome.when(sfn.Condition.string_equals(status, ExecutionStatus.SUCCEEDED.value), succeeded)
        outcome.when(sfn.Condition.string_equals(status, ExecutionStatus.PARTLY_FAILED.value), partly_failed)
        outcome.otherwise(failed)
        self.start = hold_request.next(plan_execution).next(score_models).next(summarize_execution).next(outcome)
        self.statements = self._statements()

    def _job(self) -> sfn.IChainable:
        """One job: attempts until one holds or no further one can help."""
        job = {field.name: path_of(JobPointer, field.name) for field in dataclasses.fields(JobPointer)}

        record_attempt = self._call(
            "RecordAttempt",
            "record_attempt",
            "Opens the attempt under a name of its own, with only those objects that are not committed yet.",
            _message(JobPointer, **job),
            result_selector=self._attempt_plan(),
            result_path=_PLAN,
        )
        nothing_left = sfn.Choice(
            self,
            "NothingLeft?",
            comment="An earlier attempt may have committed everything, and SageMaker fails a job without input.",
        )
        run_processing_job = self.run_processing_job = self._processing_job()
        verify_output = self._call(
            "VerifyOutput",
            "verify_output",
            "A completed job is not yet a succeeded one: rows in are rows scored and quarantined, with bytes in S3.",
            _message(JobPointer, **job),
        )
        classify_failure = self._call(
            "ClassifyFailure",
            "classify_failure",
            "Records the failure and decides whether another attempt can help, which Retry cannot: it knows no causes.",
            _message(AttemptFailure, **job, failure=_FAILURE),
        )
        try_again = sfn.Choice(
            self, "TryAgain?", comment="The decision is ClassifyFailure's; here it only takes effect."
        )
        wait_before_retry = sfn.Wait(
            self,
            "WaitBeforeRetry",
            comment="What may pass needs time to pass, and many jobs that failed together must not return together.",
            time=sfn.WaitTime.seconds_path(path_of(FailureDecision, "wait_seconds")),
        )
        job_failed = sfn.Fail(
            self,
            "JobFailed",
            comment="Counts as a failed item of the Map; kind and reason show where the operator looks first.",
            error_path=path_of(FailureDecision, "kind"),
            cause_path=path_of(FailureDecision, "reason"),
        )
        job_not_recorded = sfn.Fail(
            self,
            "JobNotRecorded",
            comment="The failure could not be recorded; SummarizeExecution closes what is still open.",
            error="Fleetscore.JobNotRecorded",
            cause_path=f"{_FAILURE}.Cause",
        )

        record_attempt.add_catch(classify_failure, result_path=_FAILURE)
        run_processing_job.add_catch(classify_failure, result_path=_FAILURE)
        verify_output.add_catch(classify_failure, result_path=_FAILURE)
        classify_failure.add_catch(job_not_recorded, result_path=_FAILURE)
        run_processing_job.next(verify_output)
        nothing_left.when(
            sfn.Condition.boolean_equals(path_of(AttemptPlan, "nothing_left", at=_PLAN), True),
            verify_output,
        )
        nothing_left.otherwise(run_processing_job)
        classify_failure.next(try_again)
        try_again.when(
            sfn.Condition.boolean_equals(path_of(FailureDecision, "try_again"), True),
            wait_before_retry.next(record_attempt),
        )
        try_again.otherwise(job_failed)
        return record_attempt.next(nothing_left)

    def _processing_job(self) -> SageMakerProcessingJob:
        def planned(field: str) -> str:
            return path_of(AttemptPlan, field, at=_PLAN)

        def channel(name: str, uri: str, data_type: DataType, distribution: Distribution) -> ProcessingInput:
            return ProcessingInput(
                name=name,
                s3_uri=planned(uri),
                local_path=layout.container_path("input", name),
                data_type=data_type,
                distribution=distribution,
            )

        def output(name: str, uri: str) -> ProcessingOutput:
            # Continuous: what a killed attempt has finished is kept for the next one.
            return ProcessingOutput(
                name=name,
                s3_uri=planned(uri),
                local_path=layout.container_path("output", name),
                upload_mode=UploadMode.CONTINUOUS,
            )

        settings = self._settings
        job = SageMakerProcessingJob(
            self,
            "RunProcessingJob",
            comment="Scores. Retried only while the job cannot be created; a job that ran and failed needs a new name.",
            job_name=planned("processing_job_name"),
            job_name_prefix=settings.stage,
            image_uri=planned("image_uri"),
            role=iam.Role.from_role_arn(self, "JobRole", self._platform.job_role_arn, mutable=False),
            instance_type=planned("instance_type"),
            instance_count=planned("instance_count"),
            volume_size_gb=planned("volume_size_gb"),
            max_runtime_seconds=planned("max_runtime_seconds"),
            # SageMaker enforces the run time itself; this only ends a wait for a job whose end is never reported.
            timeout=sfn.Timeout.at(f"{_PLAN}.{_TIMEOUT_FIELD}"),
            inputs=[
                channel("spec", "spec_uri", DataType.S3_PREFIX, Distribution.FULLY_REPLICATED),
                channel("data", "data_manifest_uri", DataType.MANIFEST_FILE, Distribution.SHARDED_BY_S3_KEY),
                channel("models", "models_manifest_uri", DataType.MANIFEST_FILE, Distribution.FULLY_REPLICATED),
            ],
            outputs=[
                output("predictions", "predictions_uri"),
                output("quarantine", "quarantine_uri"),
                output("ledger", "ledger_uri"),
            ],
            output_kms_key_id=self._storage.key_arn,
            network=ProcessingNetwork(
                isolation=True,
                subnet_ids=settings.vpc.subnet_ids if settings.vpc else (),
                security_group_ids=settings.vpc.security_group_ids if settings.vpc else (),
            ),
            tags={
                "fleetscore:stage": settings.stage,
                "fleetscore:execution-id": path_of(JobPointer, "execution_id"),
                "fleetscore:job-id": path_of(JobPointer, "job_id"),
            },
            result_path=sfn.JsonPath.DISCARD,
        )
        # A quota frees up when another job ends: minutes, not seconds.
        job.add_retry(
            errors=list(_QUOTA_ERRORS),
            interval=Duration.seconds(30),
            backoff_rate=2,
            max_attempts=8,
            max_delay=Duration.minutes(5),
            jitter_strategy=sfn.JitterType.FULL,
        )
        job.add_retry(
            errors=[error for error in SageMakerProcessingJob.RETRYABLE_ERRORS if error not in _QUOTA_ERRORS],
            interval=Duration.seconds(2),
            backoff_rate=2,
            max_attempts=10,
            max_delay=Duration.minutes(1),
            jitter_strategy=sfn.JitterType.FULL,
        )
        return job

    def _attempt_plan(self) -> dict[str, Any]:
        """The attempt's plan, and how long its state may wait: a model may ask for more time than the stage does."""
        plan = {field.name: sfn.JsonPath.object_at(path_of(AttemptPlan, field.name)) for field in _fields(AttemptPlan)}
        runtime = sfn.JsonPath.number_at(path_of(AttemptPlan, "max_runtime_seconds"))
        return {**plan, _TIMEOUT_FIELD: sfn.JsonPath.math_add(runtime, self._settings.provisioning_margin_seconds)}

    def _call(
        self,
        name: str,
        function: str,
        comment: str,
        payload: Mapping[str, Any],
        *,
        result_selector: Mapping[str, Any] | None = None,
        result_path: str | None = None,
    ) -> tasks.LambdaInvoke:
        """A function's state. Its errors keep their class names, and Lambda's own troubles are retried."""
        task = tasks.LambdaInvoke(
            self,
            name,
            comment=comment,
            lambda_function=self._functions[function],
            payload=sfn.TaskInput.from_object(dict(payload)),
            payload_response_only=True,
            retry_on_service_exceptions=False,
            result_selector=result_selector,
            result_path=result_path,
        )
        task.add_retry(
            errors=list(_LAMBDA_ERRORS),
            interval=Duration.seconds(1),
            backoff_rate=2,
            max_attempts=8,
            max_delay=Duration.seconds(30),
            jitter_strategy=sfn.JitterType.FULL,
        )
        # It may have done its work and died before it said so; called again it gives the answer that is owed. Otherwise
        # a job recorded as SUCCEEDED would count as a failed item of the Map, and stop the others where none may fail.
        task.add_retry(
            errors=list(_CRASHES),
            interval=Duration.seconds(2),
            backoff_rate=2,
            max_attempts=2,
            max_delay=Duration.seconds(30),
            jitter_strategy=sfn.JitterType.FULL,
        )
        return task

    def _statements(self) -> list[iam.PolicyStatement]:
        jobs = self._storage.objects_arn(self._storage.results_bucket, layout.jobs_key("*"))
        return [
            iam.PolicyStatement(actions=["s3:GetObject"], resources=[jobs]),
            iam.PolicyStatement(actions=["kms:Decrypt"], resources=[self._storage.key_arn]),
        ]


def _fields(message: type) -> Sequence["dataclasses.Field[Any]"]:
    return dataclasses.fields(message)


def _message(message: type, **paths: str) -> dict[str, Any]:
    """A message's payload out of JSONPaths, one for each of its fields and for no other."""
    names = {field.name for field in _fields(message)}
    if names != set(paths):
        raise TypeError(f"{message.__name__} has the fields {sorted(names)}, got {sorted(paths)}")
    return {
        SCHEMA_VERSION_FIELD: SCHEMA_VERSION,
        **{name: sfn.JsonPath.object_at(path) for name, path in paths.items()},
    }
