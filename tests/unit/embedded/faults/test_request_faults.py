"""Faults of requests as clients see them: status, code and text of each service."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from embedded.faults import (
    AccessDenied,
    ClockJump,
    ClockSkew,
    DelayedListing,
    Faults,
    KeyUnusable,
    ServerError,
    SlowRequest,
    Throttle,
)
from embedded.faults.request_faults import RequestFault
from embedded.server.embedded_aws import EmbeddedAws

BUCKET, TABLE, INDEX = "faulty-bucket", "faulty-table", "by-group"


@pytest.fixture(scope="module")
def client(aws: EmbeddedAws) -> Callable[..., Any]:
    """Return clients that do not retry, of the administrator or of a role."""
    session, clients = boto3.Session(region_name=aws.endpoint.region), {}

    def make(service: str, role_arn: str = "", **config: Any) -> Any:
        key = service, role_arn, str(config)
        if key not in clients:
            keys = {
                "aws_access_key_id": aws.endpoint.access_key_id,
                "aws_secret_access_key": aws.endpoint.secret_access_key,
            }
            if role_arn:
                assumed = aws.endpoint.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="someone")
                given = assumed["Credentials"]
                keys = {
                    "aws_access_key_id": given["AccessKeyId"],
                    "aws_secret_access_key": given["SecretAccessKey"],
                    "aws_session_token": given["SessionToken"],
                }
            clients[key] = session.client(
                service,
                endpoint_url=aws.endpoint.url,
                verify=str(aws.endpoint.ca_bundle),
                config=Config(s3={"addressing_style": "path"}, **(config or {"retries": {"total_max_attempts": 1}})),
                **keys,
            )
        return clients[key]

    make("s3").create_bucket(Bucket=BUCKET)
    attributes = [{"AttributeName": name, "AttributeType": "S"} for name in ("id", "group")]
    make("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=attributes,
        GlobalSecondaryIndexes=[
            {
                "IndexName": INDEX,
                "KeySchema": [{"AttributeName": "group", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return make


@pytest.fixture
def faults(aws: EmbeddedAws) -> Iterator[Faults]:
    yield aws.faults
    aws.faults.clear()


def put(client: Any, name: str, **fields: str) -> dict[str, Any]:
    item = {"id": {"S": name}, **{key: {"S": value} for key, value in fields.items()}}
    answer: dict[str, Any] = client("dynamodb").put_item(TableName=TABLE, Item=item)
    return answer


DENIED = "User: arn:aws:iam::123456789012:user/administrator is not authorized to perform: "
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "s3": ("s3", "put_object", {"Bucket": BUCKET, "Key": "k", "Body": b"1"}),
    "s3-get": ("s3", "get_object", {"Bucket": BUCKET, "Key": "k"}),
    "dynamodb": ("dynamodb", "get_item", {"TableName": TABLE, "Key": {"id": {"S": "1"}}}),
    "lambda": ("lambda", "invoke", {"FunctionName": "nobody"}),
    "sqs": ("sqs", "list_queues", {}),
    "states": ("stepfunctions", "list_state_machines", {}),
    "sagemaker": ("sagemaker", "list_processing_jobs", {}),
    "kms": ("kms", "decrypt", {"CiphertextBlob": b"12"}),
    "logs": ("logs", "describe_log_groups", {}),
    "events": ("events", "list_rules", {}),
    "cloudwatch": ("cloudwatch", "list_metrics", {}),
    "sts": ("sts", "get_caller_identity", {}),
}


@pytest.mark.parametrize(
    ("call", "fault", "status", "code", "text"),
    [
        ("s3", Throttle(), 503, "SlowDown", "Please reduce your request rate."),
        ("dynamodb", Throttle(), 400, "ProvisionedThroughputExceededException", "The level of configured provisioned"),
        ("lambda", Throttle(), 429, "TooManyRequestsException", "Rate Exceeded."),
        ("sqs", Throttle(), 400, "RequestThrottled", ""),
        ("states", Throttle(), 400, "ThrottlingException", "Rate exceeded"),
        ("sagemaker", Throttle(), 400, "ThrottlingException", "Rate exceeded"),
        ("kms", Throttle(), 400, "ThrottlingException", "You have exceeded the rate at which you may call KMS"),
        ("logs", Throttle(), 400, "ThrottlingException", "Rate exceeded"),
        ("cloudwatch", Throttle(), 400, "Throttling", "Rate exceeded"),
        ("sts", Throttle(), 400, "Throttling", "Rate exceeded"),
        ("s3", ServerError(), 500, "InternalError", "We encountered an internal error. Please try again."),
        ("dynamodb", ServerError(), 500, "InternalServerError", "Internal server error"),
        ("lambda", ServerError(), 500, "ServiceException", ""),
        ("logs", ServerError(), 503, "ServiceUnavailableException", ""),
        ("events", ServerError(), 500, "InternalException", ""),
        ("sagemaker", ServerError(), 500, "InternalFailure", "The request processing has failed because of"),
        ("s3", AccessDenied(), 403, "AccessDenied", f'{DENIED}s3:PutObject on resource: "arn:aws:s3:::{BUCKET}/k"'),
        ("dynamodb", AccessDenied(), 400, "AccessDeniedException", f"{DENIED}dynamodb:GetItem on resource: {TABLE}"),
        ("lambda", AccessDenied(), 403, "AccessDeniedException", f"{DENIED}lambda:InvokeFunction"),
        ("sts", AccessDenied(), 403, "AccessDenied", DENIED),
        ("s3", KeyUnusable(), 403, "AccessDenied", f"{DENIED}kms:GenerateDataKey"),
        ("s3-get", KeyUnusable(), 403, "AccessDenied", f"{DENIED}kms:Decrypt"),
        ("s3-get", KeyUnusable(cause="disabled"), 400, "KMS.DisabledException", "is disabled."),
        ("s3-get", KeyUnusable(cause="pending-deletion"), 400, "KMS.KMSInvalidStateException", "is pending deletion."),
        ("lambda", KeyUnusable(cause="disabled"), 502, "KMSDisabledException", "Lambda was unable to decrypt the env"),
        ("states", KeyUnusable(), 400, "KmsAccessDeniedException", f"{DENIED}kms:Decrypt"),
        ("sqs", KeyUnusable(cause="disabled"), 400, "KmsDisabled", "is disabled."),
        ("kms", KeyUnusable(cause="disabled"), 400, "DisabledException", "is disabled."),
        ("s3", ClockSkew(), 403, "RequestTimeTooSkewed", "The difference between the request time and the current"),
        ("states", ClockSkew(), 403, "InvalidSignatureException", "Signature expired: "),
        ("dynamodb", ClockSkew(seconds=3600), 400, "InvalidSignatureException", "Signature not yet current: "),
        ("sts", ClockSkew(), 403, "SignatureDoesNotMatch", "is now earlier than"),
    ],
)
def test_a_client_sees_the_error_of_the_service(
    client: Callable[..., Any], faults: Faults, *, call: str, fault: RequestFault, status: int, code: str, text: str
) -> None:
    service, operation, parameters = CALLS[call]
    fault_id = faults.add(fault)
    with pytest.raises(ClientError) as refused:
        getattr(client(service), operation)(**parameters)
    answer = refused.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    assert text in answer["Error"]["Message"]
    assert len(faults.happened(fault_id)) == 1


def test_a_head_request_has_the_status_only(client: Callable[..., Any], faults: Faults) -> None:
    faults.add(Throttle(service="s3", operation="HeadObject"))
    with pytest.raises(ClientError) as refused:
        client("s3").head_object(Bucket=BUCKET, Key="k")
    assert refused.value.response["Error"]["Code"] == "503"


def test_boto3_hides_an_error_by_its_retries(client: Callable[..., Any], faults: Faults) -> None:
    faults.add(Throttle(service="s3", operation="PutObject", resource=f"{BUCKET}/retried-*"))
    s3 = client("s3", retries={"mode": "standard"})
    large = b"x" * (1 << 20)
    answer = s3.put_object(Bucket=BUCKET, Key="retried-1", Body=large)
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    assert s3.get_object(Bucket=BUCKET, Key="retried-1")["Body"].read() == large
    assert faults.happened(Throttle)[-1].place == f"s3:PutObject of administrator on {BUCKET}/retried-1"


def test_an_error_after_the_work_leaves_the_work_done(client: Callable[..., Any], faults: Faults) -> None:
    faults.add(ServerError(service="dynamodb", operation="PutItem", when="after"))
    with pytest.raises(ClientError, match="Internal server error"):
        put(client, "done")
    faults.add(ServerError(service="dynamodb", operation="PutItem"))
    with pytest.raises(ClientError, match="Internal server error"):
        put(client, "not-done")
    found = client("dynamodb").scan(TableName=TABLE)["Items"]
    assert {"id": {"S": "done"}} in found
    assert {"id": {"S": "not-done"}} not in found


def test_only_requests_of_the_named_caller_and_resource_fail(
    client: Callable[..., Any], faults: Faults, aws: EmbeddedAws
) -> None:
    iam, name = aws.endpoint.client("iam"), f"caller-{uuid.uuid4().hex[:8]}"
    here = {"AWS": f"arn:aws:iam::{aws.endpoint.account_id}:root"}
    trust = {"Statement": [{"Effect": "Allow", "Principal": here, "Action": "sts:AssumeRole"}]}
    role_arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(allowed))
    faults.add(Throttle(caller=f"{name}/someone", resource=TABLE))
    put(client, "of-the-administrator")
    theirs = client("dynamodb", role_arn)
    theirs.list_tables()
    with pytest.raises(theirs.exceptions.ProvisionedThroughputExceededException):
        theirs.transact_write_items(TransactItems=[{"Put": {"TableName": TABLE, "Item": {"id": {"S": "1"}}}}])
    assert faults.happened(Throttle)[-1].place == f"dynamodb:TransactWriteItems of {name}/someone on {TABLE}"


def test_a_slow_request_is_answered_later(client: Callable[..., Any], faults: Faults) -> None:
    faults.add(SlowRequest(service="sqs", seconds=0.3))
    began = time.monotonic()
    client("sqs").list_queues()
    assert time.monotonic() - began >= 0.3


def test_a_delayed_listing_omits_new_objects(client: Callable[..., Any], faults: Faults) -> None:
    s3 = client("s3")
    s3.put_object(Bucket=BUCKET, Key="listed/old")
    time.sleep(1.1)
    s3.put_object(Bucket=BUCKET, Key="listed/new")
    fault_id = faults.add(DelayedListing(service="s3", seconds=1))
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="listed/")
    assert ([each["Key"] for each in listed["Contents"]], listed["KeyCount"]) == (["listed/old"], 1)
    # The object itself can be read.
    s3.get_object(Bucket=BUCKET, Key="listed/new")
    faults.clear(fault_id)
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="listed/")["KeyCount"] == 2


def test_a_delayed_index_shows_items_as_they_were(client: Callable[..., Any], faults: Faults) -> None:
    def query() -> list[tuple[str, str]]:
        answer = client("dynamodb").query(
            TableName=TABLE,
            IndexName=INDEX,
            KeyConditionExpression="#g = :g",
            ExpressionAttributeNames={"#g": "group"},
            ExpressionAttributeValues={":g": {"S": "delayed"}},
        )
        assert answer["Count"] == len(answer["Items"])
        return sorted((each["id"]["S"], each["state"]["S"]) for each in answer["Items"])

    put(client, "changed", group="delayed", state="old")
    faults.add(DelayedListing(service="dynamodb", seconds=60))
    put(client, "changed", group="delayed", state="new")
    put(client, "created", group="delayed", state="new")
    assert query() == [("changed", "old")]
    item = client("dynamodb").get_item(TableName=TABLE, Key={"id": {"S": "changed"}})["Item"]
    assert item["state"] == {"S": "new"}
    faults.clear()
    assert query() == [("changed", "new"), ("created", "new")]


def test_the_clock_of_the_scheduler_jumps(aws: EmbeddedAws, faults: Faults) -> None:
    before = aws.clock.now()
    faults.add(ClockJump(seconds=7200))
    deadline = time.monotonic() + 10
    while not faults.happened(ClockJump):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    deadline = time.monotonic() + 1
    while (jumped := (aws.clock.now() - before).total_seconds()) < 7200:
        assert time.monotonic() < deadline
    assert jumped < 7230
    aws.clock.set(before)
