"""Clients and variables of an endpoint."""

from pathlib import Path

import pytest

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
