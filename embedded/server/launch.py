"""Start of the server process of the embedded AWS."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from embedded.images.interpreters import read_pythons
from embedded.ministack.http.application import switches
from embedded.requests.violations import LOG_VARIABLE
from embedded.server.certificates import make_certificates
from embedded.server.endpoint import Endpoint
from embedded.server.process import OWN_VARIABLES, ServerSettings

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
LOG_FILE = "server.log"

_START_SECONDS = 60.0
STOP_SECONDS = 30.0
"""Time that the server may take to end before it is killed, in seconds."""
PROJECT = Path(__file__).resolve().parent.parent.parent


class EmbeddedAwsError(RuntimeError):
    """The embedded AWS could not be started or stopped.

    The text has the reason and the end of its log.
    """


def launch(
    root: Path,
    *,
    port: int,
    time_scale: float,
    enforce_iam: bool,
    parent_pipe: int,
    remove_root: bool,
    pythons: Mapping[str, str] | None = None,
    shared_folder: Path | None = None,
    call_recording: Path | None = None,
    persist: bool = False,
    secret_access_key: str | None = None,
) -> tuple["subprocess.Popen[bytes]", Endpoint]:
    """Start the server process with its own folder and credentials, and wait until it answers.

    Raises:
        EmbeddedAwsError: It did not start; the text has the end of its log.
    """
    try:
        interpreters = dict(read_pythons() if pythons is None else pythons)
    except ValueError as failure:
        raise EmbeddedAwsError(str(failure)) from failure
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    (root / "tmp").mkdir(exist_ok=True)
    tls = make_certificates(root / "tls")
    # Bind here and pass the socket on, so that no other process can take the port meanwhile.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as failure:
            raise EmbeddedAwsError(f"port {port} of 127.0.0.1 cannot be used: {failure.strerror}") from failure
        listener.listen(1024)
        endpoint = Endpoint(
            url=f"https://localhost:{listener.getsockname()[1]}",
            ca_bundle=tls.ca_bundle,
            region=REGION,
            account_id=ACCOUNT_ID,
            access_key_id="AKIAFLEETSCORELOCAL1",
            secret_access_key=secret_access_key or secrets.token_hex(20),
        )
        endpoint.write_client_files()
        settings = ServerSettings(
            endpoint=endpoint,
            root=root,
            certificate=tls.certificate,
            private_key=tls.private_key,
            socket=listener.fileno(),
            parent_pipe=parent_pipe,
            time_scale=time_scale,
            remove_root=remove_root,
            pythons=interpreters,
            shared_folder=shared_folder,
            call_recording=call_recording,
            violations=Path(os.environ[LOG_VARIABLE]) if os.environ.get(LOG_VARIABLE) else None,
            persist=persist,
        )
        settings_file = root / "settings.json"
        settings_file.touch(mode=0o600)
        settings_file.write_text(settings.to_json())
        with (root / LOG_FILE).open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our module with our interpreter
                [sys.executable, "-m", "embedded.server.process", str(settings_file)],
                env=_process_environment() | switches(endpoint, root, enforce_iam=enforce_iam),
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[fd for fd in (listener.fileno(), parent_pipe) if fd >= 0],
                # A new session: an interrupt at the terminal reaches only the starter, which ends
                # the server.
                start_new_session=True,
            )
    try:
        _wait_until_ready(process, endpoint)
    except BaseException as failure:
        process.terminate()
        wait_or_kill(process)
        log_end = "\n".join((root / LOG_FILE).read_text(errors="replace").splitlines()[-20:])
        if isinstance(failure, EmbeddedAwsError):
            raise EmbeddedAwsError(f"{failure}; its log ends with:\n{log_end}") from failure
        raise
    return process, endpoint


def _process_environment() -> dict[str, str]:
    """Return the server's variables, without secrets and settings for AWS clients."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "USER", "TZ")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    return environment | OWN_VARIABLES | {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}


def _wait_until_ready(process: "subprocess.Popen[bytes]", endpoint: Endpoint) -> None:
    client = endpoint.session().client(
        "sts",
        endpoint_url=endpoint.url,
        verify=str(endpoint.ca_bundle),
        config=Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 1}),
    )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EmbeddedAwsError(f"the embedded AWS ended while starting, with status {process.returncode}")
        # The socket already listens, so the request waits in its queue until the server accepts it.
        with contextlib.suppress(BotoCoreError, ClientError):
            client.get_caller_identity()
            return
        time.sleep(0.05)
    raise EmbeddedAwsError(f"the embedded AWS was not ready within {_START_SECONDS:g} seconds")


def wait_or_kill(process: "subprocess.Popen[bytes]") -> None:
    """Wait until a terminated server has ended, or kill it with all of its processes."""
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
