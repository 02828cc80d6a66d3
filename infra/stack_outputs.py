"""The named outputs by which one stack refers to the resources of another.

The stacks use named exports instead of construct references, and depend on each other only through
these names. Policies therefore look the same in every template.
"""

from dataclasses import dataclass

from aws_cdk import Aws, Fn

from contract.table import records

DATASETS_BUCKET = "DatasetsBucket"
MODELS_BUCKET = "ModelsBucket"
RESULTS_BUCKET = "ResultsBucket"
TABLE_NAME = "TableName"
TABLE_STREAM_ARN = "TableStreamArn"
KEY_ARN = "KeyArn"

JOB_ROLE_ARN = "JobRoleArn"
TRAINING_ROLE_ARN = "TrainingRoleArn"
SPOT_ROLE_ARN = "SpotRoleArn"

STATE_MACHINE_ARN = "StateMachineArn"
TRAINING_STATE_MACHINE_ARN = "TrainingStateMachineArn"
CHECK_FUNCTION_ARN = "CheckFunctionArn"
EVENT_BUS_NAME = "EventBusName"
EVENT_BUS_ARN = "EventBusArn"

SCHEDULE_GROUP = "ScheduleGroup"
SCHEDULE_TARGET_ARN = "ScheduleTargetArn"
SCHEDULE_ROLE_ARN = "ScheduleRoleArn"
SCHEDULE_DEAD_LETTERS_ARN = "ScheduleDeadLettersArn"

UPLOAD_RULES = "UploadRules"


def export_name(stage: str, output: str) -> str:
    """Return the account-wide export name of a stack output."""
    return f"fleetscore-{stage}-{output}"


def bus_name(stage: str) -> str:
    """Return the name of a stage's event bus."""
    return f"fleetscore-{stage}"


def state_machine_names(stage: str) -> tuple[str, str]:
    """Return the names of a stage's state machines: scoring, training."""
    return f"fleetscore-{stage}", f"fleetscore-{stage}-training"


def log_delivery_arn() -> str:
    """Return the encryption context with which CloudWatch delivers the logs of this account."""
    return f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:*"


def executions_arns(stage: str) -> list[str]:
    """Return the ARNs of all executions of a stage, one per state machine."""
    here = f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}"
    return [f"{here}:execution:{name}:*" for name in state_machine_names(stage)]


def child_executions_arns(stage: str) -> list[str]:
    """Return the ARNs of all child executions of the Maps of a stage, one per state machine."""
    here = f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}"
    return [f"{here}:execution:{name}/*:*" for name in state_machine_names(stage)]


def any_state_machine_arn() -> str:
    """Return the pattern of the ARNs of all state machines of this account and Region."""
    return f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}:stateMachine:*"


def jobs_arns(stage: str) -> list[str]:
    """Return the ARNs of all SageMaker jobs of a stage, one per kind."""
    here = f"arn:{Aws.PARTITION}:sagemaker:{Aws.REGION}:{Aws.ACCOUNT_ID}"
    return [f"{here}:{kind}-job/{stage}-*" for kind in ("processing", "training")]


def imported(stage: str, output: str) -> str:
    """Return a token for the value that another stack of the stage exports."""
    return Fn.import_value(export_name(stage, output))


@dataclass(frozen=True)
class Storage:
    """The buckets, table and key of a stage, for use outside the storage stack."""

    datasets_bucket: str
    models_bucket: str
    results_bucket: str
    table_name: str
    key_arn: str

    @classmethod
    def of(cls, stage: str) -> "Storage":
        return cls(
            datasets_bucket=imported(stage, DATASETS_BUCKET),
            models_bucket=imported(stage, MODELS_BUCKET),
            results_bucket=imported(stage, RESULTS_BUCKET),
            table_name=imported(stage, TABLE_NAME),
            key_arn=imported(stage, KEY_ARN),
        )

    @property
    def table_arn(self) -> str:
        return f"arn:{Aws.PARTITION}:dynamodb:{Aws.REGION}:{Aws.ACCOUNT_ID}:table/{self.table_name}"

    @property
    def index_arn(self) -> str:
        return f"{self.table_arn}/index/{records.INDEX_NAME}"

    @staticmethod
    def bucket_arn(bucket: str) -> str:
        return f"arn:{Aws.PARTITION}:s3:::{bucket}"

    @classmethod
    def objects_arn(cls, bucket: str, keys: str) -> str:
        """Return the ARN of the objects that match a key pattern such as `predictions/*`."""
        return f"{cls.bucket_arn(bucket)}/{keys}"


@dataclass(frozen=True)
class JobRoles:
    """The roles that SageMaker jobs assume, for use outside the compute stack."""

    scoring_role_arn: str
    training_role_arn: str
    spot_role_arn: str

    @classmethod
    def of(cls, stage: str) -> "JobRoles":
        return cls(
            scoring_role_arn=imported(stage, JOB_ROLE_ARN),
            training_role_arn=imported(stage, TRAINING_ROLE_ARN),
            spot_role_arn=imported(stage, SPOT_ROLE_ARN),
        )
