"""Connection to AWS: the session, its clients, and queries of the table."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from cli.failures import CommandError

_POOL_CONNECTIONS = 16
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
        """
        if not self._session:
            self._session.append(boto3.Session(profile_name=self.profile, region_name=self.region))
        return self._session[0]

    def client(self, service: str) -> Any:
        return self._make(self.session().client, service)

    def resource(self, service: str) -> Any:
        return self._make(self.session().resource, service)

    def _make(self, factory: Any, service: str) -> Any:
        try:
            return factory(service, endpoint_url=self.endpoint_url, config=self._config())
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
            max_pool_connections=_POOL_CONNECTIONS,
            retries={"mode": "standard", "max_attempts": _ATTEMPTS},
            s3={"addressing_style": "path"} if custom_endpoint else None,
        )


def query_items(table: Any, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield every item of a DynamoDB query, page by page."""
    # Uses the client: unlike a resource, it may be shared by threads.
    while True:
        page = table.meta.client.query(TableName=table.name, **arguments)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]
