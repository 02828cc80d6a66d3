"""Attacks on the embedded AWS by another user of the machine, or by a page in a browser."""

import hashlib
import http.client
import json
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from embedded.server.embedded_aws import EmbeddedAws
from embedded.server.endpoint import Endpoint


def call(
    endpoint: Endpoint, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Send a request as it is, and return status and body."""
    address = urlsplit(endpoint.url)
    context = ssl.create_default_context(cafile=str(endpoint.ca_bundle))
    connection = http.client.HTTPSConnection("localhost", address.port, timeout=30, context=context)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def signed(
    endpoint: Endpoint, method: str, path: str, body: bytes = b"", *, service: str = "s3", secret: str = ""
) -> dict[str, str]:
    """Return the headers of a request, signed with the owner's secret or with `secret`."""
    request = AWSRequest(method, endpoint.url + path, data=body)
    key = Credentials(endpoint.access_key_id, secret or endpoint.secret_access_key)
    SigV4Auth(key, service, endpoint.region).add_auth(request)
    return {**dict(request.headers.items()), "Host": urlsplit(endpoint.url).netloc}


WEB_IDENTITY = (
    b"Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::123456789012:role/r&RoleSessionName=s"
    b"&WebIdentityToken=t&Version=2011-06-15"
)
ATTACKS = [
    ("POST", "/_ministack/reset", b""),
    ("POST", "/_ministack/config", b'{"lambda_svc.LAMBDA_EXECUTOR": "docker"}'),
    ("GET", "/_ministack/health", b""),
    ("GET", "/_ministack/ready", b""),
    ("GET", "/_ministack/sqs/messages?QueueUrl=x", b""),
    ("GET", "/_ministack/ses/messages", b""),
    ("GET", "/_ministack/lambda-code/123456789012/us-east-1/f", b""),
    ("PUT", "/_ministack/cfn-response/token", b"{}"),
    ("POST", "/_ministack/rds/iam-auth", b"{}"),
    ("GET", "/%5Fministack/health", b""),
    ("GET", "/_localstack/health", b""),
    ("GET", "/_aws/lambda-url/f/", b""),
    ("GET", "/_aws/execute-api/a/prod/", b""),
    ("GET", "/health", b""),
    ("GET", "/", b""),
    ("GET", "/some-bucket/some-key", b""),
    ("OPTIONS", "/some-bucket/some-key", b""),
    ("GET", "/v2/", b""),
    ("GET", "/.well-known/jwks.json", b""),
    ("POST", "/oauth2/token", b"grant_type=client_credentials"),
    ("GET", "/iceberg/v1/config", b""),
    ("POST", "/2015-03-31/functions/f/invocations", b"{}"),
    ("POST", "/123456789012/queue", b"Action=ReceiveMessage"),
    ("POST", "/", WEB_IDENTITY),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), ATTACKS)
def test_nothing_is_served_without_a_signature(aws: EmbeddedAws, method: str, path: str, body: bytes) -> None:
    aws.endpoint.client("s3").create_bucket(Bucket="some-bucket")
    status, answer = call(aws.endpoint, method, path, body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert status == 403, answer
    assert "some-bucket" not in answer.replace(path, "")
    aws.endpoint.client("s3").head_bucket(Bucket="some-bucket")


@pytest.mark.parametrize(("method", "path", "body"), ATTACKS)
def test_a_signature_with_another_secret_opens_nothing(aws: EmbeddedAws, method: str, path: str, body: bytes) -> None:
    headers = signed(aws.endpoint, method, path, body, secret="guessed")
    assert call(aws.endpoint, method, path, body, headers)[0] == 403


def test_requests_in_cbor_are_refused_by_name(aws: EmbeddedAws) -> None:
    headers = {**signed(aws.endpoint, "POST", "/"), "smithy-protocol": "rpc-v2-cbor"}
    status, answer = call(aws.endpoint, "POST", "/", b"", headers)
    assert (status, answer[:39]) == (403, "The embedded AWS does not read CBOR, wh")


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/config", "/_ministack/health"])
def test_administration_is_not_served_even_to_the_owner(aws: EmbeddedAws, path: str) -> None:
    """A job or a function has credentials too."""
    headers = signed(aws.endpoint, "POST", path)
    status, answer = call(aws.endpoint, "POST", path, b"", headers)
    assert (status, answer) == (403, "The embedded AWS has only AWS APIs, and no routes for administration.\n")


@pytest.mark.parametrize(
    "foreign",
    [
        {"Host": "attacker.example"},
        {"Host": "localhost.attacker.example:4566"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": "x.lambda-url.us-east-1.localhost"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_browsers_and_rebound_names_are_refused_before_the_signature(aws: EmbeddedAws, foreign: dict[str, str]) -> None:
    headers = {**signed(aws.endpoint, "GET", "/"), **foreign}
    status, answer = call(aws.endpoint, "GET", "/", b"", headers)
    assert status == 403
    assert "The embedded AWS" in answer


def test_a_signed_request_cannot_carry_another_body(aws: EmbeddedAws) -> None:
    aws.endpoint.client("sqs").create_queue(QueueName="queue")
    body = b"Action=ListQueues&Version=2012-11-05"
    headers = signed(aws.endpoint, "POST", "/", body, service="sqs")
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    forged = b"Action=DeleteQueue&QueueUrl=queue&Version=2012-11-05"
    assert call(aws.endpoint, "POST", "/", forged, headers)[0] == 403


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls_work_until_they_are_changed(aws: EmbeddedAws, version: str) -> None:
    s3 = aws.endpoint.client("s3")
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="a key", Body=b"text")
    presigning = aws.endpoint.session().client(
        "s3",
        endpoint_url=aws.endpoint.url,
        verify=str(aws.endpoint.ca_bundle),
        config=Config(signature_version=version, s3={"addressing_style": "path"}),
    )
    url = presigning.generate_presigned_url("get_object", {"Bucket": "presigned", "Key": "a key"})
    path = url.removeprefix(aws.endpoint.url)
    assert call(aws.endpoint, "GET", path) == (200, "text")
    assert call(aws.endpoint, "DELETE", path)[0] == 403
    assert call(aws.endpoint, "GET", path.replace("a%20key", "other"))[0] == 403
    longer = path.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000").replace("&Expires=", "&Expires=9")
    assert call(aws.endpoint, "GET", longer)[0] == 403
    assert call(aws.endpoint, "GET", "/_ministack/health?" + path.partition("?")[2])[0] == 403

    upload = presigning.generate_presigned_url("put_object", {"Bucket": "presigned", "Key": "mine"})
    place = upload.removeprefix(aws.endpoint.url)
    copied = call(aws.endpoint, "PUT", place, b"", {"x-amz-copy-source": "/presigned/a%20key"})
    assert copied[0] == 403
    assert call(aws.endpoint, "PUT", place, b"mine")[0] == 200


def test_unsigned_calls_of_an_sdk_get_an_error_of_the_service(aws: EmbeddedAws) -> None:
    anonymous = boto3.client(
        "s3", endpoint_url=aws.endpoint.url, verify=str(aws.endpoint.ca_bundle), region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )  # fmt: skip
    with pytest.raises(ClientError) as refused:
        anonymous.list_buckets()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_web_socket_is_closed(aws: EmbeddedAws) -> None:
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }  # fmt: skip
    assert call(aws.endpoint, "GET", "/_aws/execute-api/a/prod", b"", upgrade)[0] == 403


@pytest.mark.parametrize("forged", [False, True])
def test_chunks_are_checked_by_their_signatures(aws: EmbeddedAws, forged: bool) -> None:
    """As the AWS SDKs for Java and C++ upload."""
    aws.endpoint.client("s3").create_bucket(Bucket="chunks")
    endpoint, content, kind = aws.endpoint, b"some content", "AWS4-HMAC-SHA256-PAYLOAD"
    request = AWSRequest("PUT", f"{endpoint.url}/chunks/key")
    request.headers["X-Amz-Content-SHA256"] = f"STREAMING-{kind}"
    request.headers["X-Amz-Decoded-Content-Length"] = str(len(content))
    request.headers["Content-Encoding"] = "aws-chunked"
    signer = SigV4Auth(Credentials(endpoint.access_key_id, endpoint.secret_access_key), "s3", endpoint.region)
    signer.add_auth(request)
    previous, body = request.headers["Authorization"].rpartition("Signature=")[2], b""
    for chunk in (content, b""):
        scope, moment = signer.credential_scope(request), request.context["timestamp"]
        empty, digest = hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest()
        previous = signer.signature("\n".join([kind, moment, scope, previous, empty, digest]), request)
        sent = chunk.replace(b"some", b"evil") if forged else chunk
        body += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + sent + b"\r\n"
    headers = {**dict(request.headers.items()), "Host": urlsplit(endpoint.url).netloc}
    assert call(endpoint, "PUT", "/chunks/key", body, headers)[0] == (403 if forged else 200)


def test_uploads_in_chunks_keep_their_bytes(aws: EmbeddedAws) -> None:
    s3 = aws.endpoint.client("s3")
    s3.create_bucket(Bucket="uploads")
    body = json.dumps(list(range(100_000))).encode()
    s3.put_object(Bucket="uploads", Key="a/ü ~+", Body=body)
    assert s3.get_object(Bucket="uploads", Key="a/ü ~+")["Body"].read() == body
