"""AWS clients with the permissions of a job's role."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config

from embedded.http.in_process import InProcessCalls
from embedded.ministack.iam.identity import Credentials
from embedded.sagemaker.plain_clients import LogClient, ObjectClient
from embedded.server.endpoint import Endpoint

TRANSFERS = 8
"""Threads that transfer objects, for all jobs together."""
_CONNECTIONS = 32
_REUSE_SECONDS = 3600.0
_USER_AGENT = "SageMaker of the embedded AWS"
"""Botocore would put its own together for each request."""


@dataclass(frozen=True)
class RoleAccess:
    """A role's credentials, and thread-safe S3 and CloudWatch Logs clients that use them."""

    credentials: Credentials
    s3: Any
    logs: Any
    made_at: float


class ClientFactory:
    """Creates the clients of roles. Creating clients is slow, so the jobs of a role share them.

    All clients share one session, which caches the service models. `credentials_for_role(role_arn,
    session_name)` must return credentials that stay valid during that hour and for the longest job
    that starts in it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials_for_role: Callable[[str, str], Credentials],
        calls: InProcessCalls | None = None,
    ) -> None:
        """`calls` sends the clients' requests; None means over the network, with signatures."""
        self._endpoint = endpoint
        self._calls = calls
        self._credentials_for_role = credentials_for_role
        core = botocore.session.get_session()
        # Jobs use no times of objects, and parsing a text of a time takes as long as signing.
        core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
        self._session = boto3.Session(region_name=endpoint.region, botocore_session=core)
        self._roles: dict[str, RoleAccess] = {}
        self._lock = threading.RLock()  # boto3 sessions are not thread-safe, clients are

    def for_role(self, role_arn: str) -> RoleAccess:
        """Return the credentials and clients of a role, which are reused for an hour."""
        with self._lock:
            access = self._roles.get(role_arn)
            if access is None or access.made_at + _REUSE_SECONDS < time.monotonic():
                credentials = self._credentials_for_role(role_arn, "SageMaker")
                s3, logs = self._client("s3", credentials), self._client("logs", credentials)
                access = self._roles[role_arn] = RoleAccess(credentials, s3, logs, time.monotonic())
            return access

    def close(self) -> None:
        with self._lock:
            for access in self._roles.values():
                access.s3.close()
                access.logs.close()
            self._roles.clear()

    def for_account(self, service: str) -> Any:
        """Return a client with the permissions of the account's root key."""
        key = Credentials(self._endpoint.access_key_id, self._endpoint.secret_access_key, "")
        return self._client(service, key)

    def _client(self, service: str, credentials: Credentials) -> Any:
        config = Config(
            # AWS does not say that SageMaker sends checksums, so S3 computes its own.
            request_checksum_calculation="when_required",
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "max_attempts": 3},
            max_pool_connections=_CONNECTIONS,
            connect_timeout=10,
            read_timeout=60,
            signature_version=None if self._calls is None else UNSIGNED,
            user_agent=_USER_AGENT,
        )
        with self._lock:
            client = self._session.client(
                service,
                endpoint_url=self._endpoint.url,
                verify=str(self._endpoint.ca_bundle),
                aws_access_key_id=credentials.access_key_id,
                aws_secret_access_key=credentials.secret_access_key,
                aws_session_token=credentials.session_token or None,
                config=config,
            )
        if self._calls is None:
            return client
        session = self._calls.use_for(client, credentials.access_key_id)
        plain = {"s3": ObjectClient, "logs": LogClient}.get(service)
        return client if plain is None else plain(client, session)
