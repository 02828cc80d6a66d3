"""The server process: ministack's application with our services and corrections.

It runs as `python -m embedded.server.process SETTINGS_FILE`. `embedded_aws.py` writes the settings
and starts it.
"""

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from embedded.faults import Faults
from embedded.http.in_process import InProcessCalls
from embedded.http.server import serve_http
from embedded.images.image_store import ImageStore
from embedded.ministack.events.delivery_faults import deliver_event
from embedded.ministack.events.schedules import (
    all_schedules,
    install_schedule_check,
    install_scheduler,
    remove_schedule,
)
from embedded.ministack.events.service_events import install_scheduled_rules, put_service_event
from embedded.ministack.functions import (
    stop_function_workers,
)
from embedded.ministack.http.application import application
from embedded.ministack.http.direct_route import with_direct_route
from embedded.ministack.http.request_checks import with_request_check
from embedded.ministack.http.request_faults import with_faults
from embedded.ministack.http.request_memory import with_known_caller
from embedded.ministack.http.services import (
    add_service,
)
from embedded.ministack.iam.execution_role import install_execution_role
from embedded.ministack.iam.identity import (
    authorize,
    may_assume,
    role_credentials,
)
from embedded.ministack.iam.signatures import with_access_check
from embedded.ministack.s3.object_contents import ContentStore
from embedded.ministack.step_functions.tasks import add_task_integration
from embedded.prices import service as prices
from embedded.quotas import service as quotas
from embedded.requests.violations import log_to
from embedded.sagemaker.instances.disks import own_mounts
from embedded.sagemaker.instances.guard import delete_folder
from embedded.sagemaker.jobs.job import Job, epoch_milliseconds
from embedded.sagemaker.service import TARGET_PREFIX, SageMakerService, resource_arn
from embedded.sagemaker.task_integration import RESOURCES, run_job
from embedded.scheduler.clock import EmbeddedClock
from embedded.scheduler.service import SOURCE, SWEEP_SECONDS, SchedulerService
from embedded.server.corrections import install_corrections
from embedded.server.endpoint import Endpoint
from embedded.server.fault_injection import install_faults, jumped
from embedded.server.inventory import start_inventory
from embedded.server.persistence import OBJECTS, SnapshotWriter
from embedded.step_functions.executions import running
from embedded.step_functions.executions.restart import end_interrupted

LOCK_FILE = "lock"
"""File that the server keeps locked, so that other processes can check whether it runs."""
OWN_VARIABLES = {
    # Threads mostly wait for each other, so separate heaps for them only keep memory.
    "MALLOC_ARENA_MAX": "1",
    # The parts of large objects go back to the system, instead of raising the limit from which memory does so.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 20),
}
"""Variables of the server process for glibc's memory allocator, which functions and jobs do not inherit."""
_GRACE_SECONDS = 0.5
_REUSE_SECONDS = 3600.0
_COLLECTED_OBJECTS = 20_000
"""New objects between two garbage collections. Python's 700 cost a fifteenth of the processor time of a busy server."""


@dataclass(frozen=True)
class ServerSettings:
    """Settings of the server process.

    Args:
        root: Folder for everything that the server writes.
        socket: File descriptor of the listening socket.
        parent_pipe: File descriptor that reads end-of-file when the parent has ended; -1 means to
            outlive the parent.
        time_scale: Factor for the seconds of Wait states and of retries.
        remove_root: Whether to delete `root` at the end.
        persist: Whether to restore the snapshot in `root`, and to write new ones.
        pythons: Interpreters by image variant.
        shared_folder: Folder that all jobs see and may change.
        call_recording: Folder for a recording of the calls of roles; None means no recording.
        violations: File for requests that violate botocore's models; None disables the check.
    """

    endpoint: Endpoint
    root: Path
    certificate: Path
    private_key: Path
    socket: int
    parent_pipe: int
    time_scale: float
    remove_root: bool
    persist: bool = False
    pythons: dict[str, str] = field(default_factory=dict)
    shared_folder: Path | None = None
    call_recording: Path | None = None
    violations: Path | None = None

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "endpoint": self.endpoint.to_json()}, default=str)

    @classmethod
    def from_json(cls, text: str) -> "ServerSettings":
        fields = json.loads(text)
        named = ("root", "certificate", "private_key", "shared_folder", "call_recording", "violations")
        paths = {name: Path(fields[name]) for name in named if fields[name] is not None}
        return cls(**{**fields, **paths, "endpoint": Endpoint.from_json(fields["endpoint"])})


def image_root(root: Path) -> Path:
    """Return the folder of the image store."""
    return root / "images"


def sagemaker_root(root: Path) -> Path:
    """Return the folder of the jobs and their logs."""
    return root / "sagemaker"


def fault_folder(root: Path) -> Path:
    """Return the folder of the faults that were added and of those that happened."""
    return root / "faults"


def main(settings_file: Path) -> None:
    """Serve until a signal arrives or the parent has ended, and then exit."""
    settings = ServerSettings.from_json(settings_file.read_text())
    # Containers may switch to other users, who must be able to read their inputs. The root folder
    # itself is closed to others.
    os.umask(0o022)
    own_mounts()
    # Functions and jobs inherit this environment, but must not import this project.
    for name in ("PYTHONPATH", *OWN_VARIABLES):
        os.environ.pop(name, None)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s [%(name)s] %(message)s")
    with _lock(settings.root / LOCK_FILE):
        try:
            # asyncio.run would wait for idle connections and for busy threads of ministack.
            uvloop.new_event_loop().run_until_complete(_serve(settings))
        finally:
            stop_function_workers()
        # After an exception this is not reached: the process that started the server reads the log.
        if settings.remove_root:
            delete_folder(settings.root)
    # Do not wait for threads of ministack, such as long polls and running functions.
    logging.shutdown()
    os._exit(0)


async def _serve(settings: ServerSettings) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    if settings.parent_pipe >= 0:
        threading.Thread(target=_wait_for_parent, args=(settings.parent_pipe, loop, ended), daemon=True).start()
    store = ContentStore(settings.root / OBJECTS, keep_dropped=settings.persist)
    install_corrections(
        settings.endpoint, store, time_scale=settings.time_scale, call_recording=settings.call_recording
    )
    faults = Faults(fault_folder(settings.root))
    install_faults(faults)
    calls = InProcessCalls()
    sagemaker = _add_sagemaker(settings, faults, calls)
    service_quotas = quotas.ServiceQuotas(settings.endpoint.region, settings.endpoint.account_id)
    add_service(quotas.NAME, quotas.TARGET_PREFIX, service_quotas.handle)
    add_service(prices.NAME, prices.TARGET_PREFIX, prices.PriceList(settings.endpoint.region).handle)
    _install_scheduler(settings, faults)
    install_execution_role()
    if settings.parent_pipe < 0:
        start_inventory(settings.root, sagemaker.unfinished_jobs)
    closed = asyncio.Event()
    # Modules and tables of services live as long as the process: garbage collections need not look at them.
    gc.freeze()
    gc.set_threshold(_COLLECTED_OBJECTS)
    served = with_direct_route(application())
    if settings.violations is not None:
        log_to(settings.violations)
        served = with_request_check(served)
    # After the check of the signature, and before that of the parameters, as on AWS.
    served = with_faults(served, faults)
    served, own = with_access_check(served, settings.endpoint.account_id), with_known_caller(served)
    snapshots = _start_persistence(settings, store, sagemaker, service_quotas) if settings.persist else None
    if snapshots is not None:
        served, own = snapshots.counted(served), snapshots.counted(own)
        snapshot_task = asyncio.create_task(snapshots.run())
    calls.serve(own)
    listener = socket.socket(fileno=settings.socket)
    server = asyncio.create_task(serve_http(served, listener, settings.certificate, settings.private_key, closed))
    await asyncio.wait({server, asyncio.create_task(ended.wait())}, return_when=asyncio.FIRST_COMPLETED)
    # Close before the server ends, because jobs that end may still call it.
    await asyncio.to_thread(_close, sagemaker)
    if snapshots is not None:
        snapshot_task.cancel()
        snapshots.write()
    closed.set()
    await asyncio.wait({server}, timeout=_GRACE_SECONDS)
    if server.done():
        server.result()


def _start_persistence(
    settings: ServerSettings, store: ContentStore, sagemaker: SageMakerService, service_quotas: quotas.ServiceQuotas
) -> SnapshotWriter:
    snapshots = SnapshotWriter(
        settings.root,
        store,
        save=lambda: {"sagemaker": sagemaker.saved(), "quotas": service_quotas.saved()},
        is_busy=lambda: running.any_running() or bool(sagemaker.unfinished_jobs()),
    )
    kept = snapshots.restore()
    if kept is not None:
        sagemaker.restore(kept["sagemaker"])
        service_quotas.restore(kept["quotas"])
        # In a thread, because announcing a failure may call this server.
        threading.Thread(target=end_interrupted, name="end-interrupted", daemon=True).start()
    return snapshots


def _close(sagemaker: SageMakerService) -> None:
    running.stop_all()
    sagemaker.close()


def _add_sagemaker(settings: ServerSettings, faults: Faults, calls: InProcessCalls) -> SageMakerService:
    sagemaker = SageMakerService(
        endpoint=settings.endpoint,
        images=ImageStore(image_root(settings.root)),
        root=sagemaker_root(settings.root),
        credentials_for_role=role_credentials,
        may_assume=lambda role_arn: may_assume(role_arn, "sagemaker.amazonaws.com"),
        authorize=authorize,
        pythons=settings.pythons,
        shared_folder=settings.shared_folder,
        announce=_announce_job,
        faults=faults,
        calls=calls,
    )
    add_service("sagemaker", TARGET_PREFIX, sagemaker.handle, resource_arn)
    for resource in RESOURCES:
        add_task_integration(resource, partial(run_job, sagemaker))
    return sagemaker


def _announce_job(job: Job) -> None:
    detail = {**job.describe(epoch_milliseconds), "Tags": job.tags}
    put_service_event("aws.sagemaker", job.kind.event_type, job.arn, detail)


def _install_scheduler(settings: ServerSettings, faults: Faults) -> None:
    clients: dict[tuple[str, str], tuple[Any, float]] = {}

    def client_for_role(role_arn: str, service: str) -> Any:
        client, made_at = clients.get((role_arn, service), (None, 0.0))
        if client is None or made_at + _REUSE_SECONDS < time.monotonic():
            credentials = role_credentials(role_arn, "EventBridgeScheduler")
            client = settings.endpoint.client_as(credentials.environment(), service)
            clients[role_arn, service] = client, time.monotonic()
        return client

    clock = EmbeddedClock(settings.root)
    scheduler = SchedulerService(
        now=lambda: jumped(faults, clock),
        schedules=all_schedules,
        remove=remove_schedule,
        may_assume=may_assume,
        client_for_role=client_for_role,
        queue_url=lambda arn: f"{settings.endpoint.url}/{'/'.join(arn.split(':')[4:6])}",
        deliver=lambda schedule, arn, invoke: deliver_event(faults, SOURCE, "", arn, invoke, schedule=schedule),
    )
    install_schedule_check(scheduler.check)
    install_scheduler((scheduler.sweep, install_scheduled_rules(clock.now)), SWEEP_SECONDS)


def _wait_for_parent(pipe: int, loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    while os.read(pipe, 1):
        pass
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(ended.set)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Lock a file while the server runs: a process id alone could belong to another process."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


if __name__ == "__main__":
    main(Path(sys.argv[1]))
