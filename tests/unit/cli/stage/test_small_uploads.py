"""Uploads of small artifacts: equal to botocore's own, and botocore's wherever S3 does not simply accept."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from cli.stage.catalog.small_uploads import SmallUploads, sign
from cli.stage.connection import Connection

BUCKET = "some-models"
NOW = datetime(2026, 12, 1, 9, 8, 7, tzinfo=UTC)


class Server(ThreadingHTTPServer):
    """Answers uploads with given statuses, then with 200. A status of 0 closes the connection."""

    def __init__(self, statuses: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = statuses
        self.seen: list[str] = []
        """Who has sent each upload."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        server: Any = self.server
        self.rfile.read(int(self.headers["Content-Length"]))
        server.seen.append("botocore" if "amz-sdk-invocation-id" in self.headers else "quick")
        status = server.statuses.pop(0) if server.statuses else 200
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("x-amz-version-id", f"v{len(server.seen)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of http.server
        pass


@contextmanager
def server_with(*statuses: int) -> Iterator[Server]:
    with Server(list(statuses)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def uploads_to(server: Server) -> SmallUploads:
    connection = Connection(endpoint_url=f"http://127.0.0.1:{server.server_port}", region="eu-central-1")
    return SmallUploads(connection.bulk_client("s3"), connection)


def put(uploads: SmallUploads, key: str, body: bytes = b"some model") -> str:
    digest = hashlib.sha256(body).hexdigest()
    return uploads.put(BUCKET, key, body, digest, {"sha256": digest})


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "some-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "some-secret")
    monkeypatch.setattr("time.sleep", lambda _: None)  # before botocore tries again


@pytest.mark.parametrize("token", [None, "some/token+="])
@pytest.mark.parametrize(
    "address", ["https://b.s3.eu-west-3.amazonaws.com/", "https://localhost:4566/b/", "http://[::1]:1/b/"]
)
@pytest.mark.parametrize("key", ["churn/1/model.tar.gz", "a.b_c-d/v%20%C3%A4~1/x"])
def test_signature_is_that_of_botocore(token: str | None, address: str, key: str) -> None:
    credentials = ReadOnlyCredentials("some-key", "some-secret", token)
    headers = {"if-none-match": "*", "x-amz-checksum-sha256": "q83v=", "x-amz-meta-sha256": " two  parts "}
    request = AWSPreparedRequest("PUT", address + key, {**headers, "user-agent": "some agent"}, b"body", False)
    sign(request, credentials, "eu-west-3", NOW)
    wanted = AWSRequest("PUT", address + key, {**headers, "User-Agent": "some agent"}, b"body")
    with mock.patch("botocore.auth.get_current_datetime", return_value=NOW):
        S3SigV4Auth(credentials, "s3", "eu-west-3").add_auth(wanted)
    assert request.headers["authorization"] == wanted.headers["Authorization"]
    assert request.headers.get("x-amz-security-token") == wanted.headers.get("X-Amz-Security-Token")


def test_object_is_the_same_as_after_an_upload_of_botocore(account: Connection) -> None:
    uploads = SmallUploads(account.bulk_client("s3"), account)
    calls: list[str] = []
    uploads.s3.meta.events.register("before-call.s3.PutObject", lambda **_: calls.append("botocore"))
    versions = [put(uploads, f"model-{number}/1/model.tar.gz") for number in range(3)]
    assert len(calls) == 1
    stored = [
        uploads.s3.head_object(Bucket=BUCKET, Key=f"model-{number}/1/model.tar.gz", ChecksumMode="ENABLED")
        for number in range(3)
    ]
    assert [found.pop("VersionId") for found in stored] == versions
    for found in stored:
        del found["ResponseMetadata"], found["LastModified"]
    assert stored[0] == stored[1] == stored[2]
    assert stored[0]["Metadata"] == {"sha256": hashlib.sha256(b"some model").hexdigest()}


def test_object_is_not_overwritten(account: Connection) -> None:
    uploads = SmallUploads(account.bulk_client("s3"), account)
    put(uploads, "churn/1/model.tar.gz")
    put(uploads, "churn/2/model.tar.gz")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        put(uploads, "churn/2/model.tar.gz", b"another model")
    assert uploads.s3.get_object(Bucket=BUCKET, Key="churn/2/model.tar.gz")["Body"].read() == b"some model"


@pytest.mark.parametrize("status", [0, 500, 503, 429])
def test_upload_without_an_answer_is_repeated_by_botocore(status: int) -> None:
    with server_with(200, status) as server:
        uploads = uploads_to(server)
        assert [put(uploads, f"m{number}") for number in range(4)] == ["v1", "v3", "v4", "v5"]
    assert server.seen == ["botocore", "quick", "botocore", "quick", "quick"]


def test_refused_uploads_are_left_to_botocore() -> None:
    with server_with(200, 403) as server:
        uploads = uploads_to(server)
        for number in range(4):
            put(uploads, f"m{number}")
    assert server.seen == ["botocore", "quick", "botocore", "botocore", "botocore"]
