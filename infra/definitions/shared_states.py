"""The states of both workflows: function calls, failure handling, end of an execution."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract import layout
from contract.codec import SCHEMA_VERSION, SCHEMA_VERSION_FIELD
from contract.status import ExecutionStatus, JobStatus
from contract.table import records
from contract.workflow.messages import (
    FAILURE_FIELD,
    AttemptFailure,
    ExecutionOutcome,
    ExecutionPlan,
    FailureDecision,
    JobPointer,
    SummaryInput,
    path_of,
)
from infra.definitions.error_names import Retry, Service, names_of
from infra.permissions import allow, allow_data_keys, allow_items, via
from infra.stack_outputs import Storage

FAILURE = f"$.{FAILURE_FIELD}"
JOB = {field.name: path_of(JobPointer, field.name) for field in dataclasses.fields(JobPointer)}
"""JSONPath of each field of a job pointer, in the input of a Map's child."""
ENTERED_AT = "$$.State.EnteredTime"
"""Path of the time of a state's start, by Step Functions' clock: that of a function may be wrong."""
_CLASSIFICATION = "$.classification"
"""Path of the failure of ClassifyFailure itself."""
PLAN = "$.plan"
"""Path of the attempt's plan, which RecordAttempt adds."""
EXECUTION = {
    "execution_id": "$$.Execution.Name",
    "execution_arn": "$$.Execution.Id",
    "started_at": "$$.Execution.StartTime",
}


class WorkflowStates:
    """Creates states in the scope of one definition, where a state's name is its construct id."""

    def __init__(self, scope: Construct, functions: Mapping[str, lambda_.IFunction], storage: Storage) -> None:
        self._scope = scope
        self._functions = functions
        self._storage = storage

    def call(
        self,
        name: str,
        function: str,
        comment: str,
        payload: Mapping[str, Any],
        *,
        result_selector: Mapping[str, Any] | None = None,
        result_path: str | None = None,
        output_path: str | None = None,
    ) -> tasks.LambdaInvoke:
        """Create a state that calls a function.

        An exception of the function reaches Retry and Catch under its class name. Failures of
        Lambda itself are retried.
        """
        task = tasks.LambdaInvoke(
            self._scope,
            name,
            comment=comment,
            lambda_function=self._functions[function],
            payload=sfn.TaskInput.from_object(dict(payload)),
            payload_response_only=True,
            retry_on_service_exceptions=False,
            result_selector=result_selector,
            result_path=result_path,
            output_path=output_path,
        )
        task.add_retry(
            errors=names_of(Service.LAMBDA, Retry.UNAVAILABLE),
            interval=Duration.seconds(1),
            backoff_rate=2,
            max_attempts=8,
            max_delay=Duration.seconds(30),
            jitter_strategy=sfn.JitterType.FULL,
        )
        # The function may have finished its work before it crashed. Called again, it returns the
        # missing answer. Without this retry, a job recorded as SUCCEEDED would count as a failed
        # item of the Map. If no failure is tolerated, that stops all other jobs.
        task.add_retry(
            errors=names_of(Service.LAMBDA, Retry.CRASHED),
            interval=Duration.seconds(2),
            backoff_rate=2,
            max_attempts=2,
            max_delay=Duration.seconds(30),
            jitter_strategy=sfn.JitterType.FULL,
        )
        return task

    def fan_out(self, name: str) -> sfn.DistributedMap:
        """Create the distributed Map over the plan's jobs; its label is its name."""
        return sfn.DistributedMap(
            self._scope,
            name,
            comment=(
                "Runs one child execution per job. Jobs are read from S3 and results stay there, because a state holds "
                "at most 256 KB. By default a failed job does not stop the others."
            ),
            label=name,
            # Express children cannot wait for a SageMaker job.
            map_execution_type=sfn.StateMachineType.STANDARD,
            item_reader=sfn.S3JsonItemReader(
                bucket_name_path=sfn.JsonPath.string_at(path_of(ExecutionPlan, "jobs_bucket")),
                key=sfn.JsonPath.string_at(path_of(ExecutionPlan, "jobs_key")),
            ),
            max_concurrency_path=path_of(ExecutionPlan, "max_concurrency"),
            # RecordAttempt refuses new attempts past a tolerated level. The Map would abort running jobs.
            tolerated_failure_percentage=100,
            result_writer_v2=MapResults(self._scope, self._storage, name),
            result_path=sfn.JsonPath.DISCARD,
        )

    def summarize_execution(self) -> tasks.LambdaInvoke:
        """Create the call of SummarizeExecution, and the end states that follow it."""
        summarize = self.call(
            "SummarizeExecution",
            "summarize_execution",
            "Always runs, even after a failure, so that every record is closed and every execution has a summary.",
            message(SummaryInput, **EXECUTION, state="$"),
        )
        outcome = sfn.Choice(
            self._scope,
            "Outcome?",
            comment="Follows the records, because a Map that tolerates failures succeeds even if every job failed.",
        )
        succeeded = sfn.Succeed(self._scope, "Succeeded", comment="Every job succeeded.")
        partly_failed = sfn.Fail(
            self._scope,
            "PartlyFailed",
            comment="Some jobs failed. A Fail state, because an incomplete result must never look like a success.",
            error="Fleetscore.PartlyFailed",
            cause_path=path_of(ExecutionOutcome, "cause"),
        )
        failed = sfn.Fail(
            self._scope,
            "Failed",
            comment="The request was refused, or no job succeeded. The cause says which, and what to do next.",
            error="Fleetscore.Failed",
            cause_path=path_of(ExecutionOutcome, "cause"),
        )
        # Idempotent. Without a Catch, because a redrive calls this state again, but never leaves a
        # Fail state. If the call fails, the rule that closes the records of failed executions calls
        # the function again.
        summarize.add_retry(
            errors=["States.ALL"],
            interval=Duration.seconds(5),
            backoff_rate=2,
            max_attempts=6,
            max_delay=Duration.minutes(2),
            jitter_strategy=sfn.JitterType.FULL,
        )
        status = path_of(ExecutionOutcome, "status")
        outcome.when(sfn.Condition.string_equals(status, ExecutionStatus.SUCCEEDED.value), succeeded)
        outcome.when(sfn.Condition.string_equals(status, ExecutionStatus.PARTLY_FAILED.value), partly_failed)
        outcome.otherwise(failed)
        summarize.next(outcome)
        return summarize

    def wait_for_capacity(self, record_attempt: sfn.IChainable) -> sfn.Wait:
        """Create the wait of an attempt that has no instances yet; it asks again afterwards.

        Not a Retry of RecordAttempt: the function knows how long the job has waited, and its waits are no errors.
        """
        wait = sfn.Wait(
            self._scope,
            "WaitForCapacity",
            comment="The jobs of the stage use the whole quota. RecordAttempt asks again, ever less often, because a "
            "history has at most 25,000 events.",
            time=sfn.WaitTime.seconds_path(f"{PLAN}.wait_seconds"),
        )
        wait.next(record_attempt)
        return wait

    def wait_for_start(self) -> sfn.Wait:
        """Create the wait that keeps the rate at which all executions together create jobs."""
        return sfn.Wait(
            self._scope,
            "WaitForStart",
            comment="Spreads the creation of jobs of all executions over time, because SageMaker limits its rate.",
            time=sfn.WaitTime.seconds_path(f"{PLAN}.start_wait_seconds"),
        )

    def classify_failure(self, record_attempt: sfn.IChainable) -> tasks.LambdaInvoke:
        """Create failure handling: another attempt from `record_attempt`, or the job's end."""
        classify_failure = self.call(
            "ClassifyFailure",
            "classify_failure",
            "Stops the job if it still runs, records the failure, and decides by its cause whether another attempt can "
            "help, which a Retry cannot do.",
            message(AttemptFailure, **JOB, failure=FAILURE, entered_at=ENTERED_AT),
        )
        # A stopped job has two minutes to end, and then uploads its outputs.
        classify_failure.add_retry(
            errors=["JobStillRunningError"],
            interval=Duration.seconds(10),
            backoff_rate=1.5,
            max_attempts=60,
            max_delay=Duration.minutes(1),
            jitter_strategy=sfn.JitterType.FULL,
        )
        retry_copying(classify_failure)
        try_again = sfn.Choice(self._scope, "TryAgain?", comment="Follows the decision of ClassifyFailure.")
        wait_before_retry = sfn.Wait(
            self._scope,
            "WaitBeforeRetry",
            comment="Gives a temporary problem time to pass, and spreads out jobs that failed at the same moment.",
            time=sfn.WaitTime.seconds_path(path_of(FailureDecision, "wait_seconds")),
        )
        job_failed = sfn.Fail(
            self._scope,
            "JobFailed",
            comment="Counts as a failed item of the Map. Its error and cause show kind and reason to the operator.",
            error_path=path_of(FailureDecision, "kind"),
            cause_path=path_of(FailureDecision, "reason"),
        )
        job_not_recorded = sfn.Fail(
            self._scope,
            "JobNotRecorded",
            comment="ClassifyFailure failed. SummarizeExecution closes the open records.",
            error="Fleetscore.JobNotRecorded",
            cause_path=f"{FAILURE}.Cause",
        )
        note_failure = self._note_failure(job_not_recorded)
        record_job_left_running = self.call(
            "RecordJobLeftRunning",
            "classify_failure",
            "Records that the job could not be stopped, so that no other attempt may start.",
            message(AttemptFailure, **JOB, failure=FAILURE, entered_at=ENTERED_AT),
        )
        classify_failure.add_catch(record_job_left_running, errors=["JobStillRunningError"], result_path=FAILURE)
        # Beside the failure that was to be recorded, which is kept.
        classify_failure.add_catch(note_failure, result_path=_CLASSIFICATION)
        record_job_left_running.add_catch(note_failure, result_path=_CLASSIFICATION)
        record_job_left_running.next(job_failed)
        classify_failure.next(try_again)
        try_again.when(
            sfn.Condition.boolean_equals(path_of(FailureDecision, "try_again"), True),
            wait_before_retry.next(record_attempt),
        )
        try_again.otherwise(job_failed)
        return classify_failure

    def _note_failure(self, job_not_recorded: sfn.IChainable) -> sfn.CustomState:
        """Create a state that adds a failure to the record of its job without a function.

        The failure is kept as JSON text, because it may have no Cause. The record of a job that has
        ended is not changed.
        """
        names = {"#failure": "unrecorded_failure", "#why": "classification_failure", "#status": "status"}
        note_failure = sfn.CustomState(
            self._scope,
            "NoteFailure",
            state_json={
                "Type": "Task",
                "Comment": "Keeps the cause for the job's record when ClassifyFailure itself has failed, whatever is "
                "wrong with the functions.",
                "Resource": f"arn:{Aws.PARTITION}:states:::dynamodb:updateItem",
                "Parameters": {
                    "TableName": self._storage.table_name,
                    "Key": {
                        records.PARTITION_KEY: {
                            "S.$": f"States.Format('{records.EXECUTION_PARTITIONS}{{}}', {JOB['execution_id']})"
                        },
                        records.SORT_KEY: {"S.$": f"States.Format('{records.JOB_SORT_PREFIX}{{}}', {JOB['job_id']})"},
                    },
                    "UpdateExpression": "SET #failure = :failure, #why = :why",
                    "ConditionExpression": f"attribute_exists({records.PARTITION_KEY}) "
                    "AND NOT #status IN (:succeeded, :failed)",
                    "ExpressionAttributeNames": names,
                    "ExpressionAttributeValues": {
                        ":failure": {"S.$": f"States.JsonToString({FAILURE})"},
                        ":why": {"S.$": f"States.JsonToString({_CLASSIFICATION})"},
                        ":succeeded": {"S": JobStatus.SUCCEEDED.value},
                        ":failed": {"S": JobStatus.FAILED.value},
                    },
                },
                "ResultPath": "$.noted",
            },
        )
        note_failure.add_retry(
            errors=["States.ALL"],
            interval=Duration.seconds(2),
            backoff_rate=2,
            max_attempts=4,
            max_delay=Duration.seconds(30),
            jitter_strategy=sfn.JitterType.FULL,
        )
        note_failure.add_catch(job_not_recorded, result_path="$.noted")
        note_failure.next(job_not_recorded)
        return note_failure


class MapResults(sfn.ResultWriterV2):
    """The export of a Map's results to its own prefix of the results bucket.

    Without it, the results of all children must fit into 256 KB, about 3,000 jobs, even if the
    state discards them.
    """

    def __init__(self, scope: Construct, storage: Storage, label: str) -> None:
        prefix = layout.map_runs_prefix(label)
        super().__init__(bucket=s3.Bucket.from_bucket_name(scope, "Results", storage.results_bucket), prefix=prefix)
        self._statements = [
            allow(
                ["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"],
                storage.objects_arn(storage.results_bucket, f"{prefix}/*"),
            ),
            allow_data_keys(storage.key_arn, "s3"),
        ]

    def provide_policy_statements(self) -> list[iam.PolicyStatement]:
        """Return the permissions for the prefix. The base class allows the whole bucket."""
        return self._statements


def map_permissions(storage: Storage) -> list[iam.PolicyStatement]:
    """Return the permissions with which the Map reads its jobs, and notes failures in their records."""
    jobs = storage.objects_arn(storage.results_bucket, layout.jobs_key("*"))
    return [
        allow(["s3:GetObject"], jobs),
        allow_items(storage, ["UpdateItem"], records.EXECUTION_PARTITIONS),
        allow(["kms:Decrypt"], storage.key_arn, conditions=via("dynamodb", "s3")),
    ]


def retry_copying(*tasks_that_copy: tasks.LambdaInvoke) -> None:
    """Call a function again that copies outputs. Each call copies as much as its time allows."""
    for task in tasks_that_copy:
        task.add_retry(
            errors=["KeptOutputsLeftError"],
            interval=Duration.seconds(1),
            backoff_rate=1.5,
            max_attempts=100,
            max_delay=Duration.seconds(10),
            jitter_strategy=sfn.JitterType.FULL,
        )


def message(message: type, **paths: str) -> dict[str, Any]:
    """Build a message's payload from one JSONPath per field.

    Raises:
        TypeError: when a field is missing or unknown.
    """
    names = {field.name for field in fields_of(message)}
    if names != set(paths):
        raise TypeError(f"{message.__name__} has the fields {sorted(names)}, got {sorted(paths)}")
    return {
        SCHEMA_VERSION_FIELD: SCHEMA_VERSION,
        **{name: sfn.JsonPath.object_at(path) for name, path in paths.items()},
    }


def fields_of(message: type) -> Sequence["dataclasses.Field[Any]"]:
    return dataclasses.fields(message)
