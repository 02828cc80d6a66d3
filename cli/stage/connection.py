"""Connection to AWS: the session, its clients, and queries of the table."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import NoCredentialsError

from cli.failures import CommandError
from contract.environment import EMBEDDED_AWS

_POOL_CONNECTIONS = 16
_READ_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 4
"""Attempts per call, including the first."""


@dataclass(frozen=True)
class Connection:
    """Address and credentials of the AWS APIs. None: taken from the environment, as in any SDK."""

    endpoint_url: str | None = None
    profile: str | None = None
    region: str | None = None
    _session: list[Any] = field(default_factory=list, repr=False, compare=False)

    def session(self) -> Any:
        """Return the boto3 session.

        It is created on first use, so that a missing profile only fails commands that call AWS.

        Raises:
            CommandError: when a profile is given in a shell for the embedded AWS.
        """
        if not self._session:
            self._check_profile()
            self._session.append(boto3.Session(profile_name=self.profile, region_name=self.region))
        return self._session[0]

    def client(self, service: str, *, read_timeout: float = _READ_TIMEOUT_SECONDS, region: str | None = None) -> Any:
        """Return a client, in another Region than the session's if one is named."""
        return self._make(partial(self.session().client, region_name=region), service, read_timeout=read_timeout)

    def bulk_client(self, service: str) -> Any:
        """Return a client for thousands of requests.

        It does not check the type of each value, and does not build the same user agent twice per request.
        """
        agent = self.session()._session.user_agent()  # noqa: SLF001 - boto3 has no other way
        return self._make(self.session().client, service, parameter_validation=False, user_agent=agent)

    def resource(self, service: str) -> Any:
        return self._make(self.session().resource, service)

    def storage_options(self) -> dict[str, str]:
        """Return address and credentials as the libraries of table formats take them.

        Raises:
            NoCredentialsError: when there are no credentials.
        """
        client = self.client("s3")
        found = self.session().get_credentials()
        if found is None:
            raise NoCredentialsError
        credentials = found.get_frozen_credentials()
        address = str(client.meta.endpoint_url)
        return {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            **({"AWS_SESSION_TOKEN": credentials.token} if credentials.token else {}),
            "AWS_REGION": str(client.meta.region_name),
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": str(address.startswith("http://")).lower(),
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
        }

    def ca_bundle(self) -> str:
        """Return the file of trusted certificate authorities; empty for the default ones."""
        return str(self.session()._session.get_config_variable("ca_bundle") or "")  # noqa: SLF001 - boto3 has no other way

    def description(self, account_id: str) -> str:
        """Return account, Region and address of the calls, as text."""
        meta = self.client("cloudformation").meta
        return f"account {account_id}, Region {meta.region_name}, {meta.endpoint_url}"

    def _check_profile(self) -> None:
        """Check that a shell for the embedded AWS names no profile, which has other credentials.

        Raises:
            CommandError: naming the profile.
        """
        address = _embedded_aws_of_shell()
        profile = self.profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
        if profile and address:
            source = "--profile" if self.profile else "AWS_PROFILE"
            raise CommandError(
                f"{source}: got {profile!r}, expected no profile, because `fleetscore up` has pointed this shell at "
                f"the embedded AWS at {address}. Open another shell to use the profile."
            )

    def _make(self, factory: Any, service: str, **options: Any) -> Any:
        try:
            return factory(service, endpoint_url=self.endpoint_url, config=self._config().merge(Config(**options)))
        except ValueError as error:
            if "endpoint" in str(error).lower():
                raise CommandError(
                    f"{error}. --endpoint-url and AWS_ENDPOINT_URL expect an address such as https://127.0.0.1:4566."
                ) from error
            raise

    def _config(self) -> Config:
        # A custom endpoint has no host name per bucket, so bucket names go into the path.
        custom_endpoint = (
            self.endpoint_url or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3")
        )
        return Config(
            user_agent_extra="fleetscore",
            read_timeout=_READ_TIMEOUT_SECONDS,
            max_pool_connections=_POOL_CONNECTIONS,
            retries={"mode": "standard", "max_attempts": _ATTEMPTS},
            s3={"addressing_style": "path"} if custom_endpoint else None,
        )


def _embedded_aws_of_shell() -> str:
    """Return the address of the shell's embedded AWS; empty in any other shell."""
    address = os.environ.get(EMBEDDED_AWS, "")
    return address if address and address == os.environ.get("AWS_ENDPOINT_URL") else ""


def query_items(table: Any, *, largest_page: int = 0, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield every item of a DynamoDB query, page by page.

    If a `Limit` is given, each page is twice as large as the one before, up to `largest_page`: a caller
    that reads on needs more than it expected.
    """
    # Threads may share a client, but not a resource.
    while True:
        page = table.meta.client.query(TableName=table.name, **arguments)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        if "Limit" in arguments:
            arguments["Limit"] = max(arguments["Limit"], min(2 * arguments["Limit"], largest_page))
