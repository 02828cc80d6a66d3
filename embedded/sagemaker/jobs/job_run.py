"""The run of a job from its image to its final status: the part that all kinds of jobs share."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from cli.sandbox.isolation import Isolation
from embedded.faults import Faults, FullDisk, InstanceClock, KillInstance, NoCapacity
from embedded.images.image import Image
from embedded.images.image_store import ImageNotRegisteredError, ImageStore
from embedded.images.interpreters import python_for
from embedded.sagemaker.clients import TRANSFERS, ClientFactory, RoleAccess
from embedded.sagemaker.errors import JobFailure
from embedded.sagemaker.instances.capacity import Cores
from embedded.sagemaker.instances.fault_watch import FaultWatch
from embedded.sagemaker.instances.guard import Guard, delete_folder
from embedded.sagemaker.instances.instance import Instance
from embedded.sagemaker.instances.logs import InstanceLog
from embedded.sagemaker.instances.periodic_calls import PeriodicCalls
from embedded.sagemaker.instances.settings import InstanceSettings
from embedded.sagemaker.instances.spare_folders import SpareFolders
from embedded.sagemaker.instances.supervision import Ending, Outcome, Supervision
from embedded.sagemaker.jobs.job import InstanceExited, Job
from embedded.sagemaker.transfer import inputs
from embedded.sagemaker.transfer.outputs import OutputUpload, Uploader
from embedded.server.endpoint import Endpoint

logger = logging.getLogger(__name__)

Instances = Mapping[str, Instance]
_LOST = "InternalServerError: We encountered an internal error. Please try again."
"""Reason of a job that lost a machine."""
AnyJob = TypeVar("AnyJob", bound=Job)


@dataclass(frozen=True)
class JobContext:
    """Services and settings that all jobs share.

    Args:
        may_use_key: Return whether a role may encrypt with a KMS key: `(role ARN, key id)`.
        grace_seconds: Time between SIGTERM and SIGKILL.
        watch_seconds: Time between two checks for new outputs and for scheduled faults.
        python: Interpreter of images whose variant is not in `pythons`.
        pythons: Interpreters by image variant.
        shared_folder: Folder that all jobs see and may change.
        instance_settings: Return how the instances of a new job look.
    """

    endpoint: Endpoint
    images: ImageStore
    root: Path
    may_use_key: Callable[[str, str], bool]
    clients: ClientFactory
    isolation: Isolation
    guard: Guard
    spare_folders: SpareFolders
    faults: Faults
    grace_seconds: float
    watch_seconds: float
    python: str = sys.executable
    pythons: Mapping[str, str] = field(default_factory=dict)
    shared_folder: Path | None = None
    instance_settings: Callable[[], InstanceSettings] = InstanceSettings
    cores: Cores = field(default_factory=Cores)
    transfers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(TRANSFERS, "transfer"))
    periodic_calls: PeriodicCalls = field(default_factory=PeriodicCalls)
    closing: threading.Event = field(default_factory=threading.Event)


class JobRun(abc.ABC, Generic[AnyJob]):
    """One run of a job, in the calling thread."""

    def __init__(self, job: AnyJob, context: JobContext) -> None:
        self._job = job
        self._context = context
        self._folder = context.root / "jobs" / job.kind.arn_type / job.name
        self._log_epoch = 0
        self._lost_hosts: set[str] = set()
        self._made: list[Instance] = []

    def run(self) -> None:
        """Run the job to its final status."""
        try:
            self._folder.mkdir(parents=True)
            outcome = self._wait_for_capacity() or self._execute(
                self._image(), self._context.clients.for_role(self._job.role_arn)
            )
        except inputs.DownloadAborted:
            outcome = Outcome(Ending.STOPPED)
        except JobFailure as failure:
            outcome = Outcome(Ending.FAILED, failure.reason)
        except Exception as error:
            logger.exception("the embedded AWS could not run %s %s", self._job.kind.noun, self._job.name)
            outcome = Outcome(Ending.FAILED, f"InternalServerError: the embedded AWS failed: {error!r}")
        try:
            self._end(outcome)
        finally:
            for instance in self._made:
                instance.give_folders(self._context.spare_folders)
            delete_folder(self._folder)

    @abc.abstractmethod
    def _execute(self, image: Image, access: RoleAccess) -> Outcome:
        """Run the job from its inputs to the last upload.

        Raises:
            JobFailure: The job has failed.
            DownloadAborted: The job was stopped while downloading.
        """

    @abc.abstractmethod
    def _end(self, outcome: Outcome) -> None:
        """Set the job's final status."""

    def _wait_for_capacity(self) -> Outcome | None:
        """Return the end of a job for which there is no capacity; None if there is."""
        job = self._job
        fault = self._context.faults.strike(
            NoCapacity,
            f"{job.kind.noun} {job.name}",
            lambda each: each.concerns(job.name) and fnmatchcase(job.instance_type, each.instance_type),
        )
        if fault is None:
            return None
        if job.stop_requested.wait(fault.wait_seconds):
            raise inputs.DownloadAborted
        return self._without_capacity()

    def _without_capacity(self) -> Outcome:
        return Outcome(
            Ending.FAILED,
            "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML "
            "instance type.",
        )

    def _image(self) -> Image:
        uri = self._job.container.image_uri
        image = self._context.images.resolve(uri)
        if image is None:
            raise JobFailure(
                f"ClientError: API error (404): manifest for {uri} not found: manifest unknown: Requested image not "
                f"found. (Embedded AWS: {ImageNotRegisteredError(uri)})"
            )
        return image

    def _make_instances(self, folder: Path) -> Instances:
        settings = self._context.instance_settings()
        job = self._job
        small = self._context.faults.strike(
            FullDisk, f"{job.kind.noun} {job.name}", lambda each: each.concerns(job.name)
        )
        if small is not None:
            if small.volume_bytes is None:
                raise JobFailure("ClientError: Data download failed:Insufficient disk space")
            settings = dataclasses.replace(settings, volume_bytes=small.volume_bytes)
            try:
                settings.check(self._context.isolation)
            except ValueError as error:
                raise JobFailure(f"InternalServerError: the embedded AWS cannot inject full-disk: {error}") from error
        instances = {host: Instance(host, folder / host, settings) for host in self._job.hosts}
        for instance in instances.values():
            instance.create_files(self._job, self._context.spare_folders)
        self._made += instances.values()
        return instances

    def _instance_inputs(
        self, access: RoleAccess, instances: Instances, source: dict[str, Any], local_path: str
    ) -> Iterator[tuple[Path, Sequence[inputs.RemoteObject]]]:
        """Yield, per instance, the local folder of an S3 source and the instance's objects."""
        layout = self._context.instance_settings().manifest_layout
        objects = inputs.list_input(access.s3, source, self._job.role_arn, layout)
        distribution = source.get("S3DataDistributionType", "FullyReplicated")
        for index, instance in enumerate(instances.values()):
            yield instance.local(local_path), inputs.shard(objects, len(instances), index, distribution)

    def _download(self, access: RoleAccess, folders: Sequence[tuple[Path, Sequence[inputs.RemoteObject]]]) -> None:
        stop, pool = self._job.stop_requested, self._context.transfers
        inputs.download(access.s3, folders, role_arn=self._job.role_arn, pool=pool, stop=stop)
        if stop.is_set():
            raise inputs.DownloadAborted

    def _uploader(self, access: RoleAccess, key_id: str | None) -> Uploader:
        return Uploader(
            access.s3,
            role_arn=self._job.role_arn,
            kms_key_id=key_id,
            may_use_key=lambda: self._context.may_use_key(self._job.role_arn, str(key_id)),
            faults=self._context.faults,
            wait=self._context.closing.wait,
        )

    def _run_instances(
        self,
        image: Image,
        access: RoleAccess,
        instances: Instances,
        *,
        limits: Mapping[Ending, float],
        meanwhile: Sequence[Callable[[], float]],
        uploads: OutputUpload,
        on_line: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Start the processes, and wait until none is left and all of their output is delivered.

        Args:
            limits: Times of the monotonic clock at which the job ends early, by ending.
            meanwhile: Functions to call periodically. Each returns the seconds until its next call.
            uploads: The uploads of the job while it runs.
            on_line: Called with each line of output, from several threads.
        """
        watched = FaultWatch(
            self._context.faults,
            self._job,
            uploads=uploads,
            is_running=lambda host: instances[host].is_running,
            kill=lambda fault: self._kill(instances, fault, uploads),
            set_clock=lambda fault: self._set_clocks(instances, fault),
            interval_seconds=self._context.watch_seconds,
        )

        def on_line_of(host: str, text: str) -> None:
            watched.line(host, text)
            if on_line is not None:
                on_line(text)

        if watched.sets_clocks:
            for instance in instances.values():
                instance.set_clock()
            watched.prepare()
        logs: list[InstanceLog] = []
        start, seconds = self._context.periodic_calls.start, self._context.watch_seconds
        ends = [start(look, seconds) for look in (*meanwhile, watched.look)]
        try:
            self._start(image, access, instances, logs, on_line_of)
            watched.begin()
            outcome = Supervision(
                self._job,
                instances,
                limits=limits,
                grace_seconds=self._context.grace_seconds,
                closing=self._context.closing,
            ).wait()
            if outcome.ending is Ending.FAILED and outcome.failed_host in self._lost_hosts:
                return dataclasses.replace(outcome, reason=_LOST)
            return outcome
        finally:
            for instance in instances.values():
                instance.kill()
                instance.join()
            for end in ends:
                end()
            for log in logs:
                log.close()

    def _kill(self, instances: Instances, fault: KillInstance, uploads: OutputUpload) -> None:
        host = self._job.hosts[fault.instance - 1]
        if fault.cause == "lost":
            self._lost_hosts.add(host)
            uploads.lose(instances[host].ml_root)
        instances[host].kill()

    def _set_clocks(self, instances: Instances, fault: InstanceClock) -> None:
        for number, host in enumerate(self._job.hosts, 1):
            if fault.instance in (None, number):
                instances[host].set_clock(fault.seconds, fault.rate)

    def _start(
        self,
        image: Image,
        access: RoleAccess,
        instances: Instances,
        logs: list[InstanceLog],
        on_line: Callable[[str, str], None],
    ) -> None:
        job = self._job
        # Each instance has its own log stream, even if the next attempt starts within the same
        # second.
        self._log_epoch = max(int(time.time()), self._log_epoch + 1)
        for host, instance in instances.items():
            try:
                output = instance.start(
                    image,
                    job,
                    isolation=self._context.isolation,
                    guard=self._context.guard,
                    cores=self._context.cores,
                    variables=self._variables(access),
                    readable=[self._context.endpoint.ca_bundle],
                    shared=self._context.shared_folder,
                    exited=lambda name, code: job.events.put(InstanceExited(name, code)),
                    python=python_for(image, self._context.pythons, self._context.python),
                )
            except (ValueError, OSError) as error:
                raise JobFailure(
                    f"ClientError: CannotStartContainerError. Please make sure that the image can be run: {error}"
                ) from error
            file = self._context.root / "logs" / job.kind.arn_type / job.name / f"{host}.log"
            stream = f"{job.name}/{host}-{self._log_epoch}"
            logs.append(
                InstanceLog(
                    output,
                    file,
                    access.logs,
                    group=job.kind.log_group,
                    stream=stream,
                    on_line=partial(on_line, host),
                    now=instance.now,
                )
            )

    def _variables(self, access: RoleAccess) -> dict[str, str]:
        """Return the service's variables for a container.

        With network isolation, they contain no credentials and no address of AWS.
        """
        job, endpoint = self._job, self._context.endpoint
        prefix = f"{job.kind.name.upper()}_JOB"
        variables = {f"{prefix}_NAME": job.name, f"{prefix}_ARN": job.arn}
        if job.container.is_network_isolated:
            return variables
        return {
            **variables,
            **access.credentials.environment(),
            "AWS_REGION": endpoint.region,
            "AWS_DEFAULT_REGION": endpoint.region,
            "AWS_ENDPOINT_URL": endpoint.url,
            "AWS_CA_BUNDLE": str(endpoint.ca_bundle),
        }


@contextlib.contextmanager
def upload_errors_logged(job: Job, outcome: Outcome) -> Iterator[None]:
    """Fail a completed or interrupted job whose upload fails.

    Otherwise log the error and keep the outcome.
    """
    try:
        yield
    except JobFailure:
        if outcome.ending in {Ending.COMPLETED, Ending.INTERRUPTED}:
            raise
        logger.warning("%s %s: not all output is in S3", job.kind.noun, job.name, exc_info=True)
