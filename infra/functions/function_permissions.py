"""What each function may do, one list a function, read against `lambdas/<function>`."""

from collections.abc import Sequence

from aws_cdk import aws_iam as iam

from contract import layout
from contract.table.events import EXECUTION_DETAIL_TYPE, JOB_DETAIL_TYPE, SOURCE
from contract.triggers.uploads import MARKER_NAME
from infra.stacks.storage import Storage

_CODE_ARCHIVES = layout.code_key("*", "*")
_ALL_RESULTS = (layout.EXECUTIONS_PREFIX, layout.PREDICTIONS_PREFIX, layout.QUARANTINE_PREFIX)


def statements_of(function: str, storage: Storage) -> list[iam.PolicyStatement]:
    """The policy statements of a function's role, logs and tracing aside."""
    executions = storage.objects_arn(storage.results_bucket, f"{layout.EXECUTIONS_PREFIX}*")
    uploads = storage.objects_arn(storage.results_bucket, f"{layout.UPLOADS_PREFIX}*")
    by_function = {
        "plan_execution": [
            # Without ListBucket a missing artifact would read as a denied one.
            _list(storage.datasets_bucket, storage.models_bucket),
            _allow(
                ["s3:GetObject"],
                # The beginning or the end of a dataset's first object says which columns there are.
                storage.objects_arn(storage.datasets_bucket, "*"),
                storage.objects_arn(storage.models_bucket, f"*/{layout.ARTIFACT_NAME}"),
                executions,
                uploads,
            ),
            # Without it a manifest that is missing would read as a denied one.
            _list_results(storage, layout.UPLOADS_PREFIX),
            _allow(["s3:PutObject"], executions),
            _table(storage, ["GetItem", "BatchGetItem", "PutItem"], index=True),
        ],
        "record_attempt": [
            _list_results(storage, *_ALL_RESULTS),
            _allow(["s3:GetObject", "s3:PutObject"], executions),
            _table(storage, ["GetItem", "PutItem"]),
        ],
        "verify_output": [
            _list(storage.datasets_bucket),
            _list_results(storage, *_ALL_RESULTS),
            _allow(["s3:GetObject"], executions),
            _table(storage, ["GetItem", "PutItem"]),
        ],
        "classify_failure": [
            # Whether the attempt got anything done shows in the ledger.
            _list_results(storage, layout.EXECUTIONS_PREFIX),
            _table(storage, ["GetItem", "Query", "PutItem"]),
        ],
        "summarize_execution": [
            _allow(["s3:PutObject"], executions),
            _table(storage, ["GetItem", "Query", "PutItem", "UpdateItem"]),
            # The waiting task belongs to any state machine; the token says which.
            _allow(["states:SendTaskSuccess", "states:SendTaskFailure"], "*"),
        ],
        "prepare_training": [
            _table(storage, ["GetItem", "BatchGetItem", "PutItem"], index=True),
        ],
        "plan_training": [
            _list(storage.datasets_bucket),
            _allow(
                ["s3:GetObject"],
                # The footer of a dataset's first object says which columns there are.
                storage.objects_arn(storage.datasets_bucket, "*"),
                storage.objects_arn(storage.models_bucket, _CODE_ARCHIVES),
                executions,
            ),
            # Without it an archive that is missing would read as a denied one.
            _list_prefix(storage.models_bucket, layout.CODE_PREFIX),
            _allow(["s3:PutObject"], executions),
            _table(storage, ["GetItem", "BatchGetItem", "PutItem"], index=True),
        ],
        "register_model_version": [
            _list(storage.datasets_bucket),
            _list_results(storage, layout.EXECUTIONS_PREFIX),
            _allow(["s3:GetObject"], executions),
            _allow(
                ["s3:PutObject", "s3:AbortMultipartUpload"],
                storage.objects_arn(storage.models_bucket, f"*/{layout.ARTIFACT_NAME}"),
            ),
            _table(storage, ["GetItem", "BatchGetItem", "PutItem"]),
        ],
        # What the queue and the state machine take is in infra/triggers/uploads.py, where they are.
        "start_on_upload": [
            _list(storage.datasets_bucket),
            _list_results(storage, layout.UPLOADS_PREFIX),
            _allow(
                ["s3:GetObject", "s3:GetObjectVersion"],
                storage.objects_arn(storage.datasets_bucket, f"*/{MARKER_NAME}"),
            ),
            _allow(["s3:GetObject", "s3:PutObject"], uploads),
            _table(storage, ["GetItem", "BatchGetItem", "Query", "PutItem", "ConditionCheckItem"]),
        ],
    }
    return [
        *by_function[function],
        # DynamoDB and S3 ask for these on the caller's behalf.
        _allow(
            [
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:Encrypt",
                "kms:GenerateDataKey",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ],
            storage.key_arn,
        ),
    ]


def start_statements(state_machine_arn: str) -> list[iam.PolicyStatement]:
    """What a function needs that starts executions, and nothing else."""
    return [_allow(["states:StartExecution"], state_machine_arn)]


def announce_statements(stream_arn: str, bus_arn: str, storage: Storage) -> list[iam.PolicyStatement]:
    """What the function at the table's stream needs."""
    return [
        _allow(["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"], stream_arn),
        _allow(["dynamodb:ListStreams"], "*"),
        _allow(["kms:Decrypt"], storage.key_arn),
        iam.PolicyStatement(
            actions=["events:PutEvents"],
            resources=[bus_arn],
            conditions={
                "StringEquals": {
                    "events:source": SOURCE,
                    "events:detail-type": [EXECUTION_DETAIL_TYPE, JOB_DETAIL_TYPE],
                }
            },
        ),
    ]


def _allow(actions: Sequence[str], *resources: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=list(resources))


def _list(*buckets: str) -> iam.PolicyStatement:
    return _allow(["s3:ListBucket"], *[Storage.bucket_arn(bucket) for bucket in buckets])


def _list_results(storage: Storage, *prefixes: str) -> iam.PolicyStatement:
    return _list_prefix(storage.results_bucket, *prefixes)


def _list_prefix(bucket: str, *prefixes: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=["s3:ListBucket"],
        resources=[Storage.bucket_arn(bucket)],
        conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
    )


def _table(storage: Storage, actions: Sequence[str], *, index: bool = False) -> iam.PolicyStatement:
    resources = [storage.table_arn]
    actions = [f"dynamodb:{action}" for action in actions]
    if index:
        resources.append(storage.index_arn)
        actions.append("dynamodb:Query")
    return _allow(actions, *resources)
