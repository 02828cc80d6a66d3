"""The course of a job: inputs in, one process an instance, outputs out, and how it ended."""

from __future__ import annotations

import logging
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from embedded.endpoint import Endpoint
from embedded.images import Image, ImageNotRegisteredError, ImageStore
from embedded.interpreters import python_for
from embedded.sagemaker import inputs
from embedded.sagemaker.clients import TRANSFERS, ClientFactory, RoleAccess
from embedded.sagemaker.errors import JobFailure
from embedded.sagemaker.guard import Guard
from embedded.sagemaker.instance import Instance
from embedded.sagemaker.job import InstanceExited, ProcessingJob, Status
from embedded.sagemaker.logs import InstanceLog
from embedded.sagemaker.outputs import OutputFolder, OutputUpload
from embedded.sagemaker.sandbox import Sandbox

_EXIT_MESSAGE_BYTES = 1_024
_NEVER = float("inf")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobTools:
    """What every job of the service shares.

    `grace_seconds` is the time between SIGTERM and SIGKILL, `watch_seconds` that between two looks at the Continuous
    outputs. `may_use_key(role_arn, key_id)` says whether a role may encrypt with a key. `pythons` run the image
    variants that they are named for, `python` all other images.
    """

    endpoint: Endpoint
    images: ImageStore
    root: Path
    may_use_key: Callable[[str, str], bool]
    clients: ClientFactory
    sandbox: Sandbox
    guard: Guard
    grace_seconds: float
    watch_seconds: float
    python: str = sys.executable
    pythons: Mapping[str, str] = field(default_factory=dict)
    transfers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(TRANSFERS, "transfer"))
    closing: threading.Event = field(default_factory=threading.Event)


class JobRun:
    """Runs one job in the calling thread, to its final status."""

    def __init__(self, job: ProcessingJob, tools: JobTools) -> None:
        self._job = job
        self._tools = tools
        self._folder = tools.root / "jobs" / job.name
        self._instances = {host: Instance(host, self._folder / host) for host in job.hosts}

    def run(self) -> None:
        job = self._job
        try:
            image = self._image()
            access = self._tools.clients.for_role(job.role_arn)
            self._folder.mkdir(parents=True)
            for instance in self._instances.values():
                instance.lay_out(job)
            self._download(access)
            status, reason = self._run_instances(image, access)
            job.end(status, exit_message=self._exit_message(), failure_reason=reason)
        except inputs.DownloadAborted:
            job.end(Status.STOPPED)
        except JobFailure as failure:
            job.end(Status.FAILED, exit_message=self._exit_message(), failure_reason=failure.reason)
        except Exception as error:
            logger.exception("the embedded AWS could not run processing job %s", job.name)
            job.end(Status.FAILED, failure_reason=f"InternalServerError: the embedded AWS failed: {error!r}")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _image(self) -> Image:
        uri = self._job.request["AppSpecification"]["ImageUri"]
        image = self._tools.images.resolve(uri)
        if image is None:
            raise JobFailure(
                f"ClientError: API error (404): manifest for {uri} not found: manifest unknown: Requested image not "
                f"found. (Embedded AWS: {ImageNotRegisteredError(uri)})"
            )
        return image

    def _download(self, access: RoleAccess) -> None:
        folders = []
        for item in self._job.request.get("ProcessingInputs") or []:
            s3_input = item["S3Input"]
            objects = inputs.list_input(access.s3, s3_input, self._job.role_arn)
            distribution = s3_input.get("S3DataDistributionType", "FullyReplicated")
            for index, instance in enumerate(self._instances.values()):
                share = inputs.shard(objects, len(self._instances), index, distribution)
                folders.append((instance.local(s3_input["LocalPath"]), share))
        stop = self._job.stop_requested
        pool = self._tools.transfers
        inputs.download(access.s3, folders, role_arn=self._job.role_arn, pool=pool, stop=stop)
        if stop.is_set():
            raise inputs.DownloadAborted

    def _run_instances(self, image: Image, access: RoleAccess) -> tuple[Status, str | None]:
        upload = self._upload(access)
        is_over = threading.Event()
        watcher = threading.Thread(
            target=upload.watch, args=(is_over, self._tools.watch_seconds), name=f"upload-{self._job.name}", daemon=True
        )
        logs: list[InstanceLog] = []
        try:
            watcher.start()
            self._start(image, access, logs)
            status, reason = self._supervise()
        finally:
            for instance in self._instances.values():
                instance.kill()
                instance.join()
            is_over.set()
            watcher.join()
            for log in logs:
                log.close()
        if self._tools.closing.is_set():
            return status, reason
        try:
            upload.finish(only_continuous=status is not Status.COMPLETED)
        except JobFailure:
            if status is Status.COMPLETED:
                raise
            logger.warning("processing job %s: not all output is in S3", self._job.name, exc_info=True)
        self._check_exit_messages()
        return status, reason

    def _upload(self, access: RoleAccess) -> OutputUpload:
        config = self._job.request.get("ProcessingOutputConfig") or {}
        key_id = config.get("KmsKeyId") or None
        folders = []
        for item in config.get("Outputs") or []:
            output = item["S3Output"]
            is_continuous = output["S3UploadMode"] == "Continuous"
            folders += [
                OutputFolder(instance.local(output["LocalPath"]), output["S3Uri"], is_continuous)
                for instance in self._instances.values()
            ]
        return OutputUpload(
            access.s3,
            folders,
            role_arn=self._job.role_arn,
            pool=self._tools.transfers,
            kms_key_id=key_id,
            may_use_key=lambda: self._tools.may_use_key(self._job.role_arn, str(key_id)),
        )

    def _start(self, image: Image, access: RoleAccess, logs: list[InstanceLog]) -> None:
        epoch = int(time.time())
        for host, instance in self._instances.items():
            try:
                output = instance.start(
                    image,
                    self._job,
                    sandbox=self._tools.sandbox,
                    guard=self._tools.guard,
                    variables=self._variables(access),
                    exited=lambda name, code: self._job.events.put(InstanceExited(name, code)),
                    python=python_for(image, self._tools.pythons, self._tools.python),
                )
            except (ValueError, OSError) as error:
                raise JobFailure(
                    f"ClientError: CannotStartContainerError. Please make sure that the image can be run: {error}"
                ) from error
            file = self._tools.root / "logs" / self._job.name / f"{host}.log"
            logs.append(InstanceLog(output, file, access.logs, f"{self._job.name}/{host}-{epoch}"))

    def _variables(self, access: RoleAccess) -> dict[str, str]:
        """What the service itself puts into a container's environment; under isolation nothing that leads to AWS."""
        variables = {"PROCESSING_JOB_NAME": self._job.name, "PROCESSING_JOB_ARN": self._job.arn}
        if self._job.is_network_isolated:
            return variables
        endpoint = self._tools.endpoint
        return {
            **variables,
            **access.credentials.environment(),
            "AWS_REGION": endpoint.region,
            "AWS_DEFAULT_REGION": endpoint.region,
            "AWS_ENDPOINT_URL": endpoint.url,
            "AWS_CA_BUNDLE": str(endpoint.ca_bundle),
        }

    def _supervise(self) -> tuple[Status, str | None]:
        """Wait until all instances have ended; see to it that they do when one fails, on a stop, and in time."""
        job = self._job
        running = dict(self._instances)
        runtime_ends = time.monotonic() + job.max_runtime_seconds
        grace_ends = _NEVER
        status, reason = Status.COMPLETED, None

        def end_early() -> None:
            nonlocal runtime_ends, grace_ends
            runtime_ends = _NEVER
            grace_ends = time.monotonic() + self._tools.grace_seconds
            for instance in running.values():
                instance.terminate()

        while running:
            due = min(runtime_ends, grace_ends)
            try:
                event = job.events.get(timeout=None if due == _NEVER else max(0.0, due - time.monotonic()))
            except queue.Empty:
                if grace_ends <= time.monotonic():
                    grace_ends = _NEVER
                    for instance in running.values():
                        instance.kill()
                elif runtime_ends <= time.monotonic():
                    job.request_stop()
                continue
            if isinstance(event, InstanceExited):
                del running[event.host]
                if event.exit_code != 0 and status is Status.COMPLETED:
                    status = Status.FAILED
                    reason = f"AlgorithmError: See job logs for more information, exit code: {event.exit_code}"
                    end_early()
            elif self._tools.closing.is_set():
                status = Status.STOPPED if status is Status.COMPLETED else status
                for instance in running.values():
                    instance.kill()
            elif status is Status.COMPLETED:
                status = Status.STOPPED
                end_early()
        return status, reason

    def _exit_message(self) -> str:
        """What all hosts wrote, one after the other, cut at 1 KB."""
        files = [instance.exit_message_file for instance in self._instances.values()]
        message = b"".join(file.read_bytes() for file in files if file.is_file())
        return message[:_EXIT_MESSAGE_BYTES].decode("utf-8", "ignore")

    def _check_exit_messages(self) -> None:
        for instance in self._instances.values():
            try:
                if instance.exit_message_file.is_file():
                    instance.exit_message_file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise JobFailure(
                    f"ClientError: The exit message of {instance.host} in /opt/ml/output/message is not UTF-8: "
                    f"{error.reason} at byte {error.start}"
                ) from error
