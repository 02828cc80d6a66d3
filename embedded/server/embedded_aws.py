"""Start and stop of the embedded AWS, as a child process or detached."""

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contract.control_characters import replace_control_characters
from embedded.images.image_store import ImageStore
from embedded.images.interpreters import read_pythons
from embedded.sagemaker.faults import Faults
from embedded.sagemaker.instances.guard import delete_folder
from embedded.scheduler.clock import EmbeddedClock
from embedded.seams.application import switches
from embedded.server.certificates import make_certificates
from embedded.server.endpoint import Endpoint
from embedded.server.process import LOCK_FILE, ServerSettings, image_root, sagemaker_root

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
LOG_FILE = "server.log"
STATE_FILE = "embedded-aws.json"

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_PROJECT = Path(__file__).resolve().parent.parent.parent


class EmbeddedAwsError(RuntimeError):
    """The embedded AWS could not be started or stopped.

    The text has the reason and the end of its log.
    """


class EmbeddedAws:
    """An embedded AWS in a separate process, which ends at the latest when this process ends.

    Args:
        root: Folder for its log, certificates, images and jobs; None means a temporary folder.
        port: Port on 127.0.0.1; 0 means any free port.
        time_scale: Factor for the seconds of Wait states and of retries.
        enforce_iam: Whether policies are checked. Signatures always are.
        pythons: Interpreters by image variant; None means those that EMBEDDED_AWS_PYTHONS names.
        shared_folder: Folder of this machine that all jobs see at the same path and may change.
            Tests exchange signals with their jobs in it. None means that there is no such folder.

    Example:
        Deploy an app in a test, and call it::

            with EmbeddedAws(time_scale=0.01) as aws:
                assembly = synthesize(Path("app.py"), Path("cdk.out"))
                deploy(assembly, aws.endpoint, aws.images)
                aws.endpoint.client("stepfunctions").list_state_machines()
    """

    def __init__(
        self,
        root: Path | None = None,
        port: int = 0,
        time_scale: float = 1.0,
        enforce_iam: bool = True,
        pythons: Mapping[str, str] | None = None,
        *,
        shared_folder: Path | None = None,
    ) -> None:
        self._own_root = root is None
        self.root = Path(tempfile.mkdtemp(prefix="embedded-aws-")) if root is None else root.resolve()
        self._port = port
        self._time_scale = time_scale
        self._enforce_iam = enforce_iam
        self._pythons = pythons
        self.shared_folder = shared_folder
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._endpoint: Endpoint | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Address and credentials for clients."""
        if self._endpoint is None:
            raise EmbeddedAwsError("the embedded AWS is not running: call start() or use it in a with block")
        return self._endpoint

    @property
    def images(self) -> ImageStore:
        """The images that jobs can run."""
        return ImageStore(image_root(self.root))

    @property
    def clock(self) -> EmbeddedClock:
        """The clock of EventBridge Scheduler."""
        return EmbeddedClock(self.root)

    @property
    def faults(self) -> Faults:
        """Faults to inject into jobs."""
        return Faults(sagemaker_root(self.root))

    @property
    def process_id(self) -> int:
        if self._process is None:
            raise EmbeddedAwsError("the embedded AWS is not running: call start() or use it in a with block")
        return self._process.pid

    def start(self) -> Endpoint:
        """Start the server, wait until it is ready, and return its endpoint.

        Raises:
            EmbeddedAwsError: It did not start.
        """
        read_end, self._pipe = os.pipe()
        try:
            self._process, self._endpoint = _launch(
                self.root,
                port=self._port,
                time_scale=self._time_scale,
                enforce_iam=self._enforce_iam,
                pythons=self._pythons,
                shared_folder=self.shared_folder,
                parent_pipe=read_end,
                remove_root=self._own_root,
            )
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(read_end)
        return self._endpoint

    def stop(self) -> None:
        """End the server and everything that it has started. Idempotent."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if self._process is not None:
            self._process.terminate()
            _wait_or_kill(self._process)
            self._process = None
        self._endpoint = None
        if self._own_root:
            delete_folder(self.root)

    def __enter__(self) -> "EmbeddedAws":
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def start_detached(state_dir: Path, *, port: int = 0, time_scale: float = 1.0, enforce_iam: bool = True) -> Endpoint:
    """Start an embedded AWS that outlives this process.

    `detached_endpoint` and `stop_detached` find it through `state_dir`.

    Raises:
        EmbeddedAwsError: It did not start, or one is already running.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    running = detached_endpoint(state_dir)
    if running is not None:
        raise EmbeddedAwsError(f"an embedded AWS already runs at {running.url}: stop it first (fleetscore down)")
    root = detached_root(state_dir)
    if root.exists():
        shutil.rmtree(root)
    process, endpoint = _launch(
        root, port=port, time_scale=time_scale, enforce_iam=enforce_iam, parent_pipe=-1, remove_root=False
    )
    state_file = state_dir / STATE_FILE
    state_file.touch(mode=0o600)
    state_file.chmod(0o600)
    state_file.write_text(json.dumps({"pid": process.pid, "endpoint": json.loads(endpoint.to_json())}, indent=2))
    return endpoint


def detached_root(state_dir: Path) -> Path:
    """Return the root folder of a detached embedded AWS."""
    return state_dir.resolve() / "aws"


def detached_endpoint(state_dir: Path) -> Endpoint | None:
    """Return the endpoint of a running detached embedded AWS; None if there is none.

    Raises:
        EmbeddedAwsError: Another user could have written the folder's files.
    """
    _check_folder(state_dir)
    state_file = state_dir / STATE_FILE
    if not state_file.exists() or not _is_locked(detached_root(state_dir) / LOCK_FILE):
        return None
    return Endpoint.from_json(json.dumps(json.loads(state_file.read_text())["endpoint"]))


def _check_folder(state_dir: Path) -> None:
    """Check that only this user can write the folder's files: they name an address, keys and a process.

    Raises:
        EmbeddedAwsError: Naming the folder, and what is wrong with it.
    """
    shown = str(state_dir.absolute())
    if shown != replace_control_characters(shown) or "\n" in shown or "\t" in shown:
        raise EmbeddedAwsError(f"the folder {shown!r} has control characters in its path: use another --state-dir")
    try:
        found = state_dir.lstat()
    except FileNotFoundError:
        return
    remedy = "remove it, or use another --state-dir"
    if not stat.S_ISDIR(found.st_mode):
        raise EmbeddedAwsError(f"{shown} is not a folder (a symbolic link is not followed): {remedy}")
    if found.st_uid != os.geteuid():
        raise EmbeddedAwsError(
            f"the folder {shown} belongs to another user, who could have written its files: {remedy}"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EmbeddedAwsError(
            f"other users can write the folder {shown}: run `chmod go-w {shlex.quote(shown)}` if only you did, or "
            "use another --state-dir"
        )


def stop_detached(state_dir: Path) -> bool:
    """End a detached embedded AWS and delete its files. Return False if none was running.

    Raises:
        EmbeddedAwsError: Another user could have written the folder's files.
    """
    _check_folder(state_dir)
    root = detached_root(state_dir)
    state_file = state_dir / STATE_FILE
    running = detached_endpoint(state_dir) is not None
    if running:
        pid = int(json.loads(state_file.read_text())["pid"])
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while _is_locked(root / LOCK_FILE):
            if time.monotonic() > deadline:
                os.killpg(pid, signal.SIGKILL)
                break
            time.sleep(0.05)
    state_file.unlink(missing_ok=True)
    delete_folder(root)
    return running


def _launch(
    root: Path,
    *,
    port: int,
    time_scale: float,
    enforce_iam: bool,
    parent_pipe: int,
    remove_root: bool,
    pythons: Mapping[str, str] | None = None,
    shared_folder: Path | None = None,
) -> tuple["subprocess.Popen[bytes]", Endpoint]:
    try:
        interpreters = dict(read_pythons() if pythons is None else pythons)
    except ValueError as failure:
        raise EmbeddedAwsError(str(failure)) from failure
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    (root / "tmp").mkdir(exist_ok=True)
    tls = make_certificates(root / "tls")
    # Bind here and hand the socket over, so that no other process can take the port in between.
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
            secret_access_key=secrets.token_hex(20),
        )
        endpoint.config_file.write_text("# Settings of AWS clients of the embedded AWS, instead of ~/.aws.\n")
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
        _wait_or_kill(process)
        log_end = "\n".join((root / LOG_FILE).read_text(errors="replace").splitlines()[-20:])
        if isinstance(failure, EmbeddedAwsError):
            raise EmbeddedAwsError(f"{failure}; its log ends with:\n{log_end}") from failure
        raise
    return process, endpoint


def _process_environment() -> dict[str, str]:
    """Return the variables of the server and its functions: no secret, and no settings for AWS clients."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "USER", "TZ")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    return environment | {"PYTHONPATH": str(_PROJECT), "PYTHONUNBUFFERED": "1"}


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


def _wait_or_kill(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # Kill the processes that the server has started and could not end itself.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
