"""ministack as an application, and the switches that it reads from the environment."""

# ministack reads its switches at import, and its private names are this package's very subject.
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Any

from embedded.server.endpoint import Endpoint


def application() -> Any:
    """The ASGI application that serves all APIs."""
    import ministack.app

    return ministack.app.app


def enforces_iam() -> bool:
    import ministack.app

    return bool(ministack.app.AUTH)


def switches(endpoint: Endpoint, root: Path, *, enforce_iam: bool) -> dict[str, str]:
    """The environment of the server process: what ministack and the functions that it starts read."""
    port = endpoint.url.rpartition(":")[2]
    temporary = root / "tmp"
    return {
        **endpoint.environment(),
        "AUTH": "true" if enforce_iam else "false",
        "GATEWAY_PORT": port,
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "localhost",
        "MINISTACK_ACCOUNT_ID": endpoint.account_id,
        "MINISTACK_REGION": endpoint.region,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": f"unix://{root / 'no-docker.sock'}",
        "LOG_LEVEL": "INFO",
        # Whatever ministack and its workers leave behind goes with the root folder.
        "TMPDIR": str(temporary),
        "STATE_DIR": str(temporary / "state"),
        "S3_DATA_DIR": str(temporary / "s3"),
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    }
