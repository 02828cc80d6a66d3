"""Clients that ignore the exported address send nothing to the real AWS."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from embedded.server.endpoint import Endpoint
from tests.e2e.stage import Stage

AWS_CLI = Path(sys.prefix) / "clients" / "bin" / "aws"


class ForeignServer:
    """A TLS server whose certificate another authority signed, as the real AWS's are."""

    def __init__(self) -> None:
        self.connections = 0
        self.received = b""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost", "127.0.0.1").configure_cert(context)
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(5)
            with suppress(OSError), self._context.wrap_socket(connection, server_side=True) as channel:
                self.received += channel.recv(1)
            connection.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def stranger() -> Iterator[ForeignServer]:
    server = ForeignServer()
    yield server
    server.close()


# Retries are switched off, because they take ten seconds.
PYTHON_CLIENTS = """
import sys, urllib.request
import boto3, polars, requests
from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem
url, once = sys.argv[1], AwsStandardS3RetryStrategy(max_attempts=1)
names = ("sqs", "s3", "cloudwatch")
calls = [
    lambda: boto3.client("sqs", endpoint_url=url).list_queues(),
    lambda: S3FileSystem(endpoint_override=url, retry_strategy=once).get_file_info("bucket/key"),
    lambda: polars.read_parquet("s3://bucket/key", storage_options={"aws_endpoint_url": url, "max_retries": 0}),
    lambda: urllib.request.urlopen(url),
    lambda: requests.get(url),
]
for call in calls:
    try:
        call()
    except Exception as failure:
        print(type(failure).__name__, "certificate" in str(failure).lower())
"""


def test_clients_end_before_they_send_anything(stage: Stage, stranger: ForeignServer) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(stage.folder), **stage.aws.endpoint.environment()}
    python = subprocess.run(
        [sys.executable, "-c", PYTHON_CLIENTS, stranger.url],
        env={**environment, "AWS_MAX_ATTEMPTS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert [line.split()[1] for line in python.stdout.splitlines()] == ["True"] * 5, python.stdout + python.stderr
    command = [AWS_CLI, "sqs", "list-queues", "--endpoint-url", stranger.url]
    cli = subprocess.run(
        command, env={**environment, "AWS_MAX_ATTEMPTS": "1"}, capture_output=True, text=True, timeout=120, check=False
    )
    assert cli.returncode != 0
    assert "SSL validation failed" in cli.stderr
    assert stranger.connections >= 6
    assert stranger.received == b""


def test_the_system_s_certificates_are_not_trusted(stage: Stage) -> None:
    """Programs that use OpenSSL also read a folder of certificates."""
    code = "import ssl; paths = ssl.get_default_verify_paths(); print(paths.cafile, paths.capath)"
    endpoint: Endpoint = stage.aws.endpoint
    done = subprocess.run(
        [sys.executable, "-c", code], env=endpoint.environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(endpoint.ca_bundle), str(endpoint.ca_bundle.parent)]
    assert [path.name for path in endpoint.ca_bundle.parent.iterdir()] == ["ca.pem"]
