"""ministack's ASGI application, and the environment variables that configure it."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Any

from embedded.server.endpoint import Endpoint


def application() -> Any:
    """Return the ASGI application that serves all APIs."""
    import ministack.app

    return ministack.app.app


def enforces_iam() -> bool:
    import ministack.app

    return bool(ministack.app.AUTH)


def switches(endpoint: Endpoint, root: Path, *, enforce_iam: bool) -> dict[str, str]:
    """Return the server process's environment variables, which ministack and its functions read."""
    port = endpoint.url.rpartition(":")[2]
    temporary = root / "tmp"
    return {
        **endpoint.environment(),
        "AUTH": "true" if enforce_iam else "false",
        "GATEWAY_PORT": port,
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "localhost",
        # For the URLs of queues, to which some SDKs send their requests.
        "USE_SSL": "1",
        "MINISTACK_ACCOUNT_ID": endpoint.account_id,
        "MINISTACK_REGION": endpoint.region,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": f"unix://{root / 'no-docker.sock'}",
        "LOG_LEVEL": "INFO",
        # Files that ministack and its workers leave behind are deleted with the root folder.
        "TMPDIR": str(temporary),
        "STATE_DIR": str(temporary / "state"),
        "S3_DATA_DIR": str(temporary / "s3"),
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    }
