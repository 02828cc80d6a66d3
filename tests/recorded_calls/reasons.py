"""Why roles have permissions that no call of the end-to-end tests uses.

A reason must cover a permission that a role has. It may also cover one that calls use in some runs.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from contract.layout import OUTPUT_PREFIXES
from tests.recorded_calls.recorded_permissions import Permission


@dataclass(frozen=True)
class Reason:
    """Patterns of permissions, and why roles have them.

    `roles` and `actions` are patterns, separated by spaces. Roles have the logical ids of their
    templates, to which the CDK adds eight characters. `resource` is a pattern of an ARN.
    """

    roles: str
    actions: str
    resource: str
    why: str

    def covers(self, permission: Permission) -> bool:
        return (
            any(fnmatchcase(permission.role, pattern) for pattern in self.roles.split())
            and any(fnmatchcase(permission.action, pattern) for pattern in self.actions.split())
            and fnmatchcase(permission.resource, self.resource)
        )

    def __str__(self) -> str:
        return f"{self.roles}: {self.actions} on {self.resource} ({self.why})"


_ANY = "*"
_KEY = "arn:aws:kms:*:key/*"
_TABLE = "arn:aws:dynamodb:*:table/*"

# Calls that AWS makes with a role, and the embedded AWS does not.
_BY_AWS = (
    Reason("*", "xray:PutTraceSegments xray:PutTelemetryRecords", _ANY, "Lambda and Step Functions send traces."),
    Reason("*StateMachineRole*", "xray:GetSampling*", _ANY, "Step Functions asks X-Ray which executions to trace."),
    Reason(
        "*",
        "logs:CreateLogGroup logs:*LogStream* logs:PutLogEvents",
        "*:log-group:*",
        "Lambda and SageMaker write logs. AWS authorizes some of the calls against the group, others against streams.",
    ),
    Reason(
        "*StateMachineRole*",
        "logs:*LogDeliver* logs:DescribeLogGroups logs:*ResourcePolic*",
        _ANY,
        "Step Functions sets up the delivery of a state machine's logs.",
    ),
    Reason("JobRole* SpotRole* TrainingRole*", "ecr:*", _ANY, "SageMaker pulls the image with the job's role."),
    Reason(
        "JobRole* SpotRole* TrainingRole*", "cloudwatch:PutMetricData", _ANY, "SageMaker reports the use of instances."
    ),
    Reason(
        "JobRole* SpotRole* TrainingRole*",
        "s3:ListBucket",
        _ANY,
        "SageMaker lists what a prefix or manifest names before it copies the objects.",
    ),
    Reason("*", "s3:AbortMultipartUpload", _ANY, "S3's clients abort uploads in parts that fail."),
    Reason(
        "AnnouncementsAnnounceStatusRole*",
        "dynamodb:*Stream* dynamodb:GetRecords dynamodb:GetShardIterator",
        _ANY,
        "Lambda reads the table's stream with the function's role.",
    ),
    Reason(
        "*",
        "sqs:SendMessage",
        "arn:aws:sqs:*DeadLetters*",
        "Lambda and EventBridge Scheduler send events that could not be processed.",
    ),
    Reason("*", "kms:Decrypt kms:GenerateDataKey", _KEY, "AWS services use the key for the role, to read and write."),
    Reason(
        "*",
        "kms:DescribeKey kms:Encrypt kms:ReEncrypt*",
        _KEY,
        "AWS documents them for tables, volumes and outputs with a key. Which calls need them is not documented.",
    ),
    Reason("*StateMachineRole*", "sagemaker:ListTags", "*-job/*", "Step Functions reads the tags of a job that ended."),
    Reason(
        "*StateMachineRole*",
        "states:DescribeExecution states:StopExecution states:RedriveExecution",
        "arn:aws:states:*:execution:*",
        "Step Functions describes, stops and redrives the children of a distributed Map, as AWS documents it.",
    ),
)

# Permissions that the CDK grants together with others.
_BY_CDK = (
    Reason(
        "*StateMachineRole*",
        "lambda:InvokeFunction",
        "arn:aws:lambda:*:function:*:*",
        "The CDK grants the versions of a function together with the function.",
    ),
)

# Permissions for cases that only unit tests cover.
_IN_RARE_CASES = (
    Reason(
        "Plan*Role* PrepareTrainingRole*",
        "dynamodb:GetItem dynamodb:Query",
        f"{_TABLE}*",
        "A repeated call reads the records of the first, and a request for all models reads the index.",
    ),
    Reason(
        "PlanExecutionRole*",
        "s3:GetObject",
        "*/model.tar.gz",
        "HeadObject shows whether an artifact in Intelligent-Tiering must be restored first.",
    ),
    Reason("Plan*Role*", "s3:GetObject", "*/executions/*", "A repeated call compares its plan with that of the first."),
    Reason(
        "PlanExecutionRole* CheckRequestRole*",
        "s3:ListBucket",
        _ANY,
        "Without it, S3 reports a missing artifact or upload manifest as access denied.",
    ),
    Reason(
        "SummarizeExecutionRole* ReconcileRole*",
        "s3:ListBucket",
        _ANY,
        "Without it, S3 reports a missing manifest of latest predictions as access denied.",
    ),
    Reason(
        "RecordAttemptRole* ClassifyFailureRole*",
        "dynamodb:DeleteItem",
        f"{_TABLE}*",
        "The event about a failed job's end usually releases the job's instances before the workflow does.",
    ),
    Reason(
        "RecordAttemptRole* VerifyOutputRole* RegisterModelVersionRole*",
        "dynamodb:GetItem",
        f"{_TABLE}*",
        "A call reads the record again that a repeated or late one has changed since.",
    ),
    Reason(
        "PlanTrainingRole* ReconcileRole*",
        "servicequotas:List* dynamodb:PutItem",
        _ANY,
        "They read the account's quotas when those in the table are old; the tests' are of the first plan.",
    ),
    Reason(
        "ReconcileRole*",
        "sagemaker:DescribeTrainingJob",
        "*:training-job/*",
        "The schedule describes the jobs of leases that no event has released.",
    ),
    Reason(
        "ReconcileRole*",
        "states:DescribeExecution",
        "*:execution:*/*:*",
        "The schedule asks whether the child execution of a lease runs, if no record tells that its job has ended.",
    ),
    Reason(
        "CheckRequestRole*",
        "dynamodb:Query s3:GetObject",
        _ANY,
        "The check of a request reads all that both plans may read.",
    ),
    Reason(
        "CheckRequestRole*",
        "servicequotas:List*",
        _ANY,
        "The check reads the account's quotas when those in the table are old.",
    ),
    Reason(
        "ClassifyFailureRole*",
        "sagemaker:DescribeTrainingJob sagemaker:StopTrainingJob",
        "*:training-job/*",
        "Ends the job of a training state that timed out.",
    ),
    Reason(
        "ReconcileRole*",
        "dynamodb:UpdateItem",
        f"{_TABLE}*",
        "Closing an execution adds the summary's URI to its record, and counts jobs for tolerated levels.",
    ),
    Reason(
        "ReconcileRole*",
        "sagemaker:StopTrainingJob",
        "*:training-job/*",
        "Stops training jobs that belong to nobody, like processing jobs.",
    ),
    Reason(
        "ReconcileRole*",
        "states:SendTaskSuccess",
        "*:stateMachine:*",
        "Answers a task that waits for an execution whose records the schedule closes.",
    ),
    Reason(
        "RecordAttemptRole*",
        "s3:PutObject",
        "*/quarantine/*",
        "A resumed execution keeps rows in quarantine by copying their files.",
    ),
    *(
        Reason(
            "VerifyOutputRole* ClassifyFailureRole* ReconcileRole*",
            "s3:GetObject s3:PutObject",
            f"*/{area}*",
            "Jobs on spot capacity have outputs of every layout, and what they have committed is copied when they end.",
        )
        for area in (*OUTPUT_PREFIXES, "executions/*/ledger/")
    ),
    Reason(
        "PlanExecutionRole* CheckRequestRole*",
        "sagemaker:DescribeTrainingJob",
        "*:training-job/*",
        "A job on spot capacity may still run when its execution is resumed, like a processing job.",
    ),
    Reason(
        "TrainingStateMachineRole*",
        "dynamodb:UpdateItem",
        _TABLE,
        "Notes the cause in the job's record when the function that classifies failures fails itself.",
    ),
    Reason(
        "UploadsStartOnUploadRole*",
        "dynamodb:ConditionCheckItem",
        _TABLE,
        "Adds the uploads of another call to an open window.",
    ),
)

REASONS = (*_BY_AWS, *_BY_CDK, *_IN_RARE_CASES)
