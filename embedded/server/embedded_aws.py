"""The embedded AWS of a test: a child process that ends with its parent."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from cli.sandbox.isolation import probe
from embedded.faults import Faults
from embedded.images.image_store import ImageStore
from embedded.sagemaker.instances.guard import delete_folder
from embedded.sagemaker.instances.settings import InstanceSettings, InstanceSettingsFile
from embedded.scheduler.clock import EmbeddedClock
from embedded.server.endpoint import Endpoint
from embedded.server.launch import EmbeddedAwsError, launch, wait_or_kill
from embedded.server.process import fault_folder, image_root, sagemaker_root


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
        call_recording: Folder for a recording of the calls of roles; None means no recording.
        instance_settings: How the instances of jobs look from the start on; None means the defaults.

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
        call_recording: Path | None = None,
        instance_settings: InstanceSettings | None = None,
    ) -> None:
        self._own_root = root is None
        self.root = Path(tempfile.mkdtemp(prefix="embedded-aws-")) if root is None else root.resolve()
        self._port = port
        self._time_scale = time_scale
        self._enforce_iam = enforce_iam
        self._pythons = pythons
        self.shared_folder = shared_folder
        self._call_recording = call_recording
        self._instance_settings = instance_settings
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
        """Faults to inject, and those that have happened."""
        return Faults(fault_folder(self.root))

    @property
    def instances(self) -> InstanceSettingsFile:
        """How the instances of jobs look: their mounts, disks, start-up times and sizes."""
        return InstanceSettingsFile(sagemaker_root(self.root), probe())

    @property
    def process_id(self) -> int:
        if self._process is None:
            raise EmbeddedAwsError("the embedded AWS is not running: call start() or use it in a with block")
        return self._process.pid

    def start(self) -> Endpoint:
        """Start the server, wait until it is ready, and return its endpoint.

        Raises:
            EmbeddedAwsError: It did not start.
            ValueError: This machine does not support a setting of instances.
        """
        if self._instance_settings is not None:
            self.instances.set(self._instance_settings)
        read_end, self._pipe = os.pipe()
        try:
            self._process, self._endpoint = launch(
                self.root,
                port=self._port,
                time_scale=self._time_scale,
                enforce_iam=self._enforce_iam,
                pythons=self._pythons,
                shared_folder=self.shared_folder,
                call_recording=self._call_recording,
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
            wait_or_kill(self._process)
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
