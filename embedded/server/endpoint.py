"""The endpoint of an embedded AWS: address, certificate and credentials for clients."""

import functools
import json
import os
import shlex
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from contract.environment import EMBEDDED_AWS

PROXY_EXCEPTIONS = ("no_proxy", "NO_PROXY")
"""Variables with the hosts that clients reach without the shell's proxy."""
_HOSTS = ("localhost", "127.0.0.1")
_AWS_PROGRAM = """#!/bin/sh
# The AWS CLI, with the embedded AWS as the endpoint of every service. Without the option, version 1 sends commands of
# SQS, RDS, EMR and others to the real AWS (https://github.com/aws/aws-cli/issues/8737), and versions before 1.29 and
# 2.13 all commands.
set -f
IFS=:
for folder in $PATH; do
    if [ "$folder" != {folder} ] && [ -f "$folder/aws" ] && [ -x "$folder/aws" ]; then
        unset IFS
        exec "$folder/aws" ${{AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"}} "$@"
    fi
done
echo "aws: the AWS CLI is not installed, or not on the PATH" >&2
exit 127
"""
_SESSION_LOCK = threading.Lock()
"""Held while a shared session creates a client: boto3 sessions are not thread-safe."""


@dataclass(frozen=True)
class Endpoint:
    """A running embedded AWS as its clients see it.

    `ca_bundle` is the PEM file of the certificate authority that signed the server's certificate.
    The access key is the root key of the account and valid in this embedded AWS only.
    """

    url: str
    ca_bundle: Path
    region: str
    account_id: str
    access_key_id: str
    secret_access_key: str

    @property
    def config_file(self) -> Path:
        """AWS configuration and credentials file of the clients, instead of those in ~/.aws."""
        return self.ca_bundle.parent.parent / "aws-config"

    @property
    def programs(self) -> Path:
        """The folder with our `aws`, which precedes the AWS CLI in a shell's PATH."""
        return self.ca_bundle.parent.parent / "bin"

    def write_client_files(self) -> None:
        """Write the configuration file and the `aws` that the variables of a shell name."""
        self.config_file.write_text("# Settings of AWS clients of the embedded AWS, instead of ~/.aws.\n")
        self.programs.mkdir(exist_ok=True)
        program = self.programs / "aws"
        program.write_text(_AWS_PROGRAM.format(folder=shlex.quote(str(self.programs))))
        program.chmod(0o755)

    def shell_environment(self) -> dict[str, str]:
        """Return `environment` with a PATH that begins with `programs`."""
        folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
        path = [str(self.programs), *(folder for folder in folders if folder != str(self.programs))]
        return {**self.environment(), "PATH": os.pathsep.join(path)}

    def environment(self) -> dict[str, str]:
        """Return the variables that direct AWS clients to this endpoint.

        They override the files in ~/.aws.

        The programs trust no other certificates, so a request that leaves for the real AWS ends
        before anything is sent.
        """
        return {
            EMBEDDED_AWS: self.url,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_CONFIG_FILE": str(self.config_file),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.config_file),
            "AWS_CA_BUNDLE": str(self.ca_bundle),
            "REQUESTS_CA_BUNDLE": str(self.ca_bundle),
            # For programs that use OpenSSL, Rustls or Go. The folder would otherwise be the
            # system's.
            "SSL_CERT_FILE": str(self.ca_bundle),
            "SSL_CERT_DIR": str(self.ca_bundle.parent),
            "NODE_EXTRA_CA_CERTS": str(self.ca_bundle),
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            # Hides the session token of a real account, which clients would send with these keys.
            "AWS_SESSION_TOKEN": "",
            # Programs prefer the name in lower case.
            **dict.fromkeys(PROXY_EXCEPTIONS, _proxy_exceptions()),
        }

    def session(self) -> "boto3.Session":
        """Return a new boto3 session with the account's root key."""
        return _session(self.access_key_id, self.secret_access_key, self.region)

    def client(self, name: str) -> Any:
        """Return a boto3 client of a service.

        Example::

            with EmbeddedAws() as aws:
                aws.endpoint.client("s3").create_bucket(Bucket="data")
        """
        with _SESSION_LOCK:
            return _shared_session(self.access_key_id, self.secret_access_key, self.region).client(
                name, endpoint_url=self.url, verify=str(self.ca_bundle), config=Config(s3={"addressing_style": "path"})
            )

    def client_as(self, credentials: Mapping[str, str], name: str) -> Any:
        """Return a client with other credentials, given as the variables of the AWS SDKs."""
        with _SESSION_LOCK:
            return _shared_session(self.access_key_id, self.secret_access_key, self.region).client(
                name,
                endpoint_url=self.url,
                verify=str(self.ca_bundle),
                aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
                aws_session_token=credentials["AWS_SESSION_TOKEN"] or None,
            )

    def to_json(self) -> str:
        """Return the endpoint as JSON, for another process."""
        return json.dumps({**asdict(self), "ca_bundle": str(self.ca_bundle)}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Endpoint":
        """Return the endpoint that `to_json` has encoded."""
        fields = json.loads(text)
        return cls(**{**fields, "ca_bundle": Path(fields["ca_bundle"])})


def _proxy_exceptions() -> str:
    """Return the shell's proxy exceptions, with this machine."""
    given = next((os.environ[name] for name in PROXY_EXCEPTIONS if os.environ.get(name)), "")
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    # `*` means every host, but only when it is alone.
    return given.strip() if hosts == ["*"] else ",".join(dict.fromkeys([*hosts, *_HOSTS]))


def _session(access_key_id: str, secret_access_key: str, region: str) -> "boto3.Session":
    # Ignore the shell's AWS settings and the files in ~/.aws: they may name a profile that does not
    # exist, or other addresses.
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
            "use_fips_endpoint": (None, None, False, None),
            "use_dualstack_endpoint": (None, None, False, None),
        }
    )
    core.set_default_client_config(Config(proxies={}))
    return boto3.Session(
        botocore_session=core,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        region_name=region,
    )


_shared_session = functools.cache(_session)
"""Cached sessions. They keep the loaded service models, so further clients are fast to create."""
