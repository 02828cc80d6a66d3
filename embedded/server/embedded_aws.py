"""Starts and stops the embedded AWS, as a child process or detached from its starter."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from embedded.images.image_store import ImageStore
from embedded.images.interpreters import read_pythons
from embedded.sagemaker.faults import Faults
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
    """The embedded AWS could not be started or stopped; the text says why and shows the end of its log."""


class EmbeddedAws:
    """An embedded AWS in a process of its own, for the length of a `with` block.

    `root` holds its log, certificates, images and job folders (default: a temporary folder that goes with it); `port`
    0 takes any free one. `time_scale` multiplies the seconds of Wait states and retries. `pythons` are interpreters by
    image variant (default: what EMBEDDED_AWS_PYTHONS says). The server ends with this process, however this one ends.
    """

    def __init__(
        self,
        root: Path | None = None,
        port: int = 0,
        time_scale: float = 1.0,
        enforce_iam: bool = True,
        pythons: Mapping[str, str] | None = None,
    ) -> None:
        self._own_root = root is None
        self.root = Path(tempfile.mkdtemp(prefix="embedded-aws-")) if root is None else root.resolve()
        self._port = port
        self._time_scale = time_scale
        self._enforce_iam = enforce_iam
        self._pythons = pythons
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._endpoint: Endpoint | None = None

    @property
    def endpoint(self) -> Endpoint:
        if self._endpoint is None:
            raise EmbeddedAwsError("the embedded AWS is not running: call start() or use it in a with block")
        return self._endpoint

    @property
    def images(self) -> ImageStore:
        """The images that its jobs can run."""
        return ImageStore(image_root(self.root))

    @property
    def clock(self) -> EmbeddedClock:
        """The clock by which EventBridge Scheduler fires."""
        return EmbeddedClock(self.root)

    @property
    def faults(self) -> Faults:
        """Orders for what is to go wrong in its jobs."""
        return Faults(sagemaker_root(self.root))

    @property
    def process_id(self) -> int:
        if self._process is None:
            raise EmbeddedAwsError("the embedded AWS is not running: call start() or use it in a with block")
        return self._process.pid

    def start(self) -> Endpoint:
        read_end, self._pipe = os.pipe()
        try:
            self._process, self._endpoint = _launch(
                self.root,
                port=self._port,
                time_scale=self._time_scale,
                enforce_iam=self._enforce_iam,
                pythons=self._pythons,
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
        """End the server and all that it has started; does nothing when it is not running."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if self._process is not None:
            self._process.terminate()
            _wait_or_kill(self._process)
            self._process = None
        self._endpoint = None
        if self._own_root:
            shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> "EmbeddedAws":
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def start_detached(state_dir: Path, *, port: int = 0, time_scale: float = 1.0, enforce_iam: bool = True) -> Endpoint:
    """Start an embedded AWS that outlives this process; `detached_endpoint` and `stop_detached` find it again."""
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
    return state_dir.resolve() / "aws"


def detached_endpoint(state_dir: Path) -> Endpoint | None:
    """The endpoint of the embedded AWS that `start_detached` started and that still runs; None without one."""
    state_file = state_dir / STATE_FILE
    if not state_file.exists() or not _is_locked(detached_root(state_dir) / LOCK_FILE):
        return None
    return Endpoint.from_json(json.dumps(json.loads(state_file.read_text())["endpoint"]))


def stop_detached(state_dir: Path) -> bool:
    """End it and remove what it has left; false when none was running."""
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
    shutil.rmtree(root, ignore_errors=True)
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
) -> tuple["subprocess.Popen[bytes]", Endpoint]:
    try:
        interpreters = dict(read_pythons() if pythons is None else pythons)
    except ValueError as failure:
        raise EmbeddedAwsError(str(failure)) from failure
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    (root / "tmp").mkdir(exist_ok=True)
    tls = make_certificates(root / "tls")
    # Bound here and handed over, so that no other process can take the port in between.
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
        )
        settings_file = root / "settings.json"
        settings_file.touch(mode=0o600)
        settings_file.write_text(settings.to_json())
        with (root / LOG_FILE).open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own module under our own interpreter
                [sys.executable, "-m", "embedded.server.process", str(settings_file)],
                env=_process_environment() | switches(endpoint, root, enforce_iam=enforce_iam),
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[fd for fd in (listener.fileno(), parent_pipe) if fd >= 0],
                # Its own session: an interrupt at the terminal reaches the starter, which then ends it in order.
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
    """What the server gets of this environment: enough to find programs, nothing of an AWS account."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "USER", "TZ")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return environment | {"PYTHONPATH": str(_PROJECT), "PYTHONUNBUFFERED": "1"}


def _wait_until_ready(process: "subprocess.Popen[bytes]", endpoint: Endpoint) -> None:
    context = ssl.create_default_context(cafile=str(endpoint.ca_bundle))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EmbeddedAwsError(f"the embedded AWS ended while starting, with status {process.returncode}")
        # The socket already listens: the request waits in its queue until the server takes it.
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{endpoint.url}/_ministack/health", timeout=5, context=context) as answer,  # noqa: S310
        ):
            if answer.status == 200:
                return
    raise EmbeddedAwsError(f"the embedded AWS was not ready within {_START_SECONDS:g} seconds")


def _wait_or_kill(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # What it has started and could not end itself is in its process group.
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
