"""Clients and variables of an endpoint."""

import io
import json
import os
import subprocess
import zipfile
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from embedded.server.embedded_aws import EmbeddedAws
from embedded.server.endpoint import Endpoint

ENDPOINT = Endpoint("https://localhost:1", Path("/ca.pem"), "eu-west-1", "123456789012", "key", "secret")


def test_a_client_ignores_the_shells_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "foreign")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://elsewhere")
    client = ENDPOINT.client("s3")
    credentials = client._request_signer._credentials

    assert client.meta.endpoint_url == "https://localhost:1"
    assert client.meta.region_name == "eu-west-1"
    assert (credentials.access_key, credentials.secret_key, credentials.token) == ("key", "secret", None)


def test_an_endpoint_round_trips_through_json() -> None:
    assert Endpoint.from_json(ENDPOINT.to_json()) == ENDPOINT


def test_the_environment_variables_cover_every_client() -> None:
    variables = ENDPOINT.environment()
    assert variables["AWS_ENDPOINT_URL"] == "https://localhost:1"
    assert variables["AWS_CA_BUNDLE"] == variables["NODE_EXTRA_CA_CERTS"] == "/ca.pem"
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert (variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]) == ("key", "secret")


def test_a_client_ignores_the_files_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[default]\nendpoint_url = https://real.example\nuse_fips_endpoint = true\nservices = real\nca_bundle = /real\n"
        "[services real]\ns3 =\n  endpoint_url = https://real-s3.example\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere")
    other = Endpoint("https://localhost:2", Path("/ca.pem"), "eu-west-1", "123456789012", "another-key", "secret")
    assert other.client("s3").meta.endpoint_url == "https://localhost:2"
    assert other.session().client("sts", endpoint_url=other.url).meta.endpoint_url == "https://localhost:2"


@pytest.mark.parametrize(
    ("given", "exceptions"),
    [
        ({}, "localhost,127.0.0.1"),
        ({"NO_PROXY": "intern.example, localhost"}, "intern.example,localhost,127.0.0.1"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,localhost,127.0.0.1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_no_client_sends_its_requests_to_the_shells_proxy(
    given: dict[str, str], exceptions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "HTTPS_PROXY": "http://proxy.example:1",
        "https_proxy": "http://proxy.example:1",
        **given,
    }.items():
        monkeypatch.setenv(name, value)
    other = Endpoint("https://localhost:3", Path("/ca.pem"), "eu-west-1", "123456789012", "a-third-key", "secret")
    clients = [other.client("s3"), other.session().client("sts", endpoint_url=other.url)]

    for name, value in other.environment().items():
        monkeypatch.setenv(name, value)
    assert other.environment()["no_proxy"] == other.environment()["NO_PROXY"] == exceptions
    clients.append(boto3.Session().client("dynamodb"))
    proxies = [client._endpoint.http_session._proxy_config.proxy_url_for(other.url) for client in clients]
    assert proxies == [None, None, None]


FUNCTION = """
import os
import boto3
def handler(event, context):
    urls = sorted({boto3.client(name).meta.endpoint_url for name in ("s3", "stepfunctions", "dynamodb")})
    secret = [name for name, value in os.environ.items() if value in event["secrets"]]
    return [urls, secret, [name for name in os.environ if name.startswith("MALLOC_")]]
"""


def test_functions_get_no_settings_of_developer_or_server_and_no_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nignore_configured_endpoint_urls = true\nservices = real\nca_bundle = /real\n"
        "[services real]\ns3 =\n  endpoint_url = https://real-s3.example\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "https://real-table.example")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    monkeypatch.setenv("GITHUB_TOKEN", "token-of-the-developer")
    with EmbeddedAws() as aws:
        role = aws.endpoint.client("iam").create_role(
            RoleName="r", AssumeRolePolicyDocument=json.dumps({"Statement": []})
        )["Role"]["Arn"]
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("f.py", FUNCTION)
        functions = aws.endpoint.client("lambda")
        functions.create_function(
            FunctionName="f",
            Runtime="python3.13",
            Handler="f.handler",
            Role=role,
            Timeout=60,
            Code={"ZipFile": package.getvalue()},
        )
        event = {"secrets": ["token-of-the-developer", aws.endpoint.secret_access_key]}
        answer = functions.invoke(FunctionName="f", Payload=json.dumps(event))["Payload"].read()
        assert json.loads(answer) == [[aws.endpoint.url], [], []]


def test_the_shell_s_aws_names_the_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "it's" / "tls" / "trusted").mkdir(parents=True)
    authority = tmp_path / "it's" / "tls" / "trusted" / "ca.pem"
    endpoint = Endpoint("https://localhost:1", authority, "eu-west-1", "123456789012", "key", "secret")
    endpoint.write_client_files()
    installed = tmp_path / "a folder"
    installed.mkdir()
    (installed / "aws").write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    (installed / "aws").chmod(0o755)
    for _ in range(2):
        monkeypatch.setenv("PATH", endpoint.shell_environment().get("PATH", ""))
    path = endpoint.shell_environment()["PATH"]
    assert path.count(str(endpoint.programs)) == 1

    def aws(environment: dict[str, str], *folders: Path) -> "subprocess.CompletedProcess[str]":
        found = os.pathsep.join([str(endpoint.programs), *map(str, folders), "/usr/bin", "/bin"])
        return subprocess.run(
            ["sh", "-c", 'aws sqs list-queues --query "a b"'],
            env={**environment, "PATH": found},
            capture_output=True,
            text=True,
            check=False,
        )

    with_endpoint = {"AWS_ENDPOINT_URL": "https://localhost:1"}
    assert aws(with_endpoint, installed).stdout == "--endpoint-url|https://localhost:1|sqs|list-queues|--query|a b|"
    assert aws({}, installed).stdout == "sqs|list-queues|--query|a b|"
    absent = subprocess.run(
        [endpoint.programs / "aws"], env={"PATH": str(endpoint.programs)}, capture_output=True, text=True, check=False
    )
    assert (absent.returncode, absent.stderr) == (127, "aws: the AWS CLI is not installed, or not on the PATH\n")


def test_each_response_has_one_date() -> None:
    """`fleetscore doctor` compares it with this machine's clock."""
    with EmbeddedAws() as aws:
        answer = aws.endpoint.client("sts").get_caller_identity()
        stranger = replace(aws.endpoint, access_key_id="unknown").client("sts")
        with pytest.raises(ClientError) as refused:
            stranger.get_caller_identity()
    for response in (answer, refused.value.response):
        assert parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"]).tzinfo is UTC
