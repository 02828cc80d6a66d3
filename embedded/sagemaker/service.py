"""The SageMaker service of the embedded AWS: operations of the API, and the lifecycle of jobs."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from cli.sandbox.isolation import Isolation, probe
from embedded.faults import Faults
from embedded.http.in_process import InProcessCalls
from embedded.images.image_store import ImageStore
from embedded.ministack.http.services import Response
from embedded.ministack.iam.identity import Credentials
from embedded.sagemaker.clients import ClientFactory
from embedded.sagemaker.errors import ApiError, validation_error
from embedded.sagemaker.instances.capacity import Capacity
from embedded.sagemaker.instances.guard import Guard, delete_folder
from embedded.sagemaker.instances.quotas import check_quotas
from embedded.sagemaker.instances.settings import InstanceSettingsFile
from embedded.sagemaker.instances.spare_folders import SpareFolders
from embedded.sagemaker.instances.startup import after_startup, creation_time
from embedded.sagemaker.jobs.job import Job, Status
from embedded.sagemaker.jobs.job_run import JobContext
from embedded.sagemaker.jobs.job_types import JOB_TYPES, PROCESSING, JobType
from embedded.sagemaker.kms_keys import Authorize, KmsKeys
from embedded.sagemaker.requests import listing
from embedded.sagemaker.requests.condition_keys import condition_keys
from embedded.sagemaker.requests.validation import request_problems, service_model
from embedded.server.endpoint import Endpoint
from embedded.threads import start_thread

TARGET_PREFIX = "SageMaker."
GRACE_SECONDS = 120.0
"""Time between SIGTERM and SIGKILL.

AWS documents it for training jobs and states none for processing jobs.
"""
_WATCH_SECONDS = 0.1
_API_THREADS = 4


def resource_arn(operation: str, body: bytes, region: str, account_id: str) -> str:
    """Return the ARN of a request's resource, for IAM policies; `*` if it has none."""
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return "*"
    if not isinstance(request, dict):
        return "*"
    if operation.endswith("Tags"):
        return str(request.get("ResourceArn", "*"))
    for job_type in JOB_TYPES:
        if name := request.get(job_type.kind.member("Name")):
            return f"arn:aws:sagemaker:{region}:{account_id}:{job_type.kind.arn_type}/{name}"
    return "*"


class SageMakerService:
    """The service with its jobs. Each instance of a job is a process on this machine.

    Args:
        endpoint: The embedded AWS that jobs and this service call.
        images: Images that jobs can run.
        root: Folder for the jobs and logs: `logs/<processing-job or training-job>/<job>/<host>.log`.
        credentials_for_role: Return the credentials of a job: `(role ARN, session name)`.
        may_assume: Return whether the service may assume a role.
        authorize: Return whether a role's policies allow an action: `(role ARN, action, resource,
            context)`.
        max_running_instances: Instances that run at once; None means one per core. Further jobs
            wait in InProgress, and the wait does not count as runtime.
        grace_seconds: Time between SIGTERM and SIGKILL.
        isolation: Isolation of jobs; None means the best that this machine permits. Without
            namespaces, jobs find /opt/ml through a variable.
        python: Interpreter of images whose variant is not in `pythons`.
        pythons: Interpreters by image variant.
        shared_folder: Folder that all jobs see and may change.
        announce: Called with each job whose status has changed, in the account of its creation.
        faults: Faults to inject into jobs; None means those in `root`.
        calls: Sends the requests of jobs' transfers; None means over the network.
    """

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        images: ImageStore,
        root: Path,
        credentials_for_role: Callable[[str, str], Credentials],
        may_assume: Callable[[str], bool] = lambda role_arn: True,
        authorize: Authorize = lambda role_arn, action, resource, context: True,
        max_running_instances: int | None = None,
        grace_seconds: float = GRACE_SECONDS,
        isolation: Isolation | None = None,
        python: str = sys.executable,
        pythons: Mapping[str, str] | None = None,
        shared_folder: Path | None = None,
        announce: Callable[[Job], None] = lambda job: None,
        faults: Faults | None = None,
        calls: InProcessCalls | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._announce = announce
        self._may_assume = may_assume
        self.faults = faults or Faults(root / "faults")
        # The keys of these three are ARNs: jobs of different kinds can have the same name.
        self._jobs: dict[str, Job] = {}
        self._withdrawals: dict[str, Callable[[], bool]] = {}
        self._ends: dict[str, threading.Event] = {}
        """Event that is set when the thread of the job ends."""
        self._lock = threading.Lock()
        self._capacity = Capacity(max_running_instances or os.cpu_count() or 1)
        self._api_threads = ThreadPoolExecutor(_API_THREADS, "sagemaker-api")
        clients = ClientFactory(endpoint, credentials_for_role, calls)
        self._keys = KmsKeys(endpoint, clients, authorize)
        self._job_context = JobContext(
            endpoint=endpoint,
            images=images,
            root=root,
            may_use_key=self._keys.may_be_used,
            clients=clients,
            isolation=isolation or probe(),
            guard=Guard(python),
            spare_folders=SpareFolders(root / "jobs" / "spare"),
            faults=self.faults,
            grace_seconds=grace_seconds,
            watch_seconds=_WATCH_SECONDS,
            python=python,
            pythons=pythons or {},
            shared_folder=shared_folder,
            instance_settings=InstanceSettingsFile(root, isolation or probe()).read,
        )
        (root / "jobs").mkdir(parents=True, exist_ok=True)
        self._job_context.guard.watch_folder(root / "jobs")

    # ---- the API ----

    async def handle(
        self, _method: str, _path: str, headers: dict[str, str], body: bytes, _query: dict[str, Any]
    ) -> Response:
        """Handle a request of the JSON 1.1 protocol and return status, headers and body."""
        target = {name.lower(): value for name, value in headers.items()}.get("x-amz-target", "")
        context = contextvars.copy_context()
        work = asyncio.get_running_loop().run_in_executor(
            self._api_threads, context.run, self._respond, target.removeprefix(TARGET_PREFIX), body
        )
        status, content = await work
        common = {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": str(uuid.uuid4())}
        return status, common, content

    def _respond(self, operation: str, body: bytes) -> tuple[int, bytes]:
        try:
            request = json.loads(body or b"{}")
        except ValueError as error:
            problem = ApiError("SerializationException", f"the request's body is not JSON: {error}")
            return problem.status, problem.body()
        try:
            answer = self.call(operation, request)
        except ApiError as error:
            return error.status, error.body()
        return 200, b"" if answer is None else json.dumps(answer).encode()

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """Run one operation and return its response.

        Raises:
            ApiError: The request was refused.
        """
        operations: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }
        for job_type in JOB_TYPES:
            word = job_type.kind.name
            operations |= {
                f"Create{word}Job": partial(self._create, job_type),
                f"Describe{word}Job": partial(self._describe, job_type),
                f"List{word}Jobs": partial(self._list, job_type),
                f"Stop{word}Job": partial(self._stop, job_type),
            }
        if operation not in operations:
            known = operation in service_model().operation_names
            what = "is not supported by the embedded AWS: run on AWS" if known else "is not an operation of SageMaker"
            raise ApiError("UnknownOperationException", f"{operation!r} {what}")
        if problems := request_problems(operation, request):
            raise validation_error(problems)
        return operations[operation]({name: value for name, value in request.items() if value is not None})

    def _create(self, job_type: JobType, request: dict[str, Any]) -> dict[str, Any]:
        if problems := job_type.coverage.problems(request) + job_type.consistency_problems(request):
            raise validation_error(problems)
        name, role_arn = request[job_type.kind.member("Name")], request["RoleArn"]
        if not self._may_assume(role_arn):
            raise ApiError(
                "ValidationException",
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
                "'sagemaker.amazonaws.com' to assume the role.",
            )
        for key_id in job_type.key_ids(request):
            if key_id:
                self._keys.arn(key_id)
        self._keys.check_volume_key(role_arn, condition_keys(request))
        arn = self.arn(name, job_type)
        tags = {sys.intern(tag["Key"]): tag["Value"] for tag in request.get("Tags") or []}
        settings = self._job_context.instance_settings()
        job = job_type.job(request, arn, tags, created_at=creation_time(settings))
        context = contextvars.copy_context()
        job.announce = lambda changed: context.copy().run(self._announce, changed)
        with self._lock:
            if self._job_context.closing.is_set():
                raise ApiError("ServiceUnavailableException", "the embedded AWS is shutting down")
            if arn in self._jobs:
                raise ApiError(
                    "ResourceInUse",
                    "Job name must be unique within an AWS account and region, and a job with this name already exists "
                    f"({arn})",
                )
            check_quotas(self.faults, job, self._jobs.values())
            self._jobs[arn] = job
        job.announce(job)
        after_startup(job, settings, partial(self._submit, job_type, job, context))
        return {job_type.kind.member("Arn"): arn}

    def _describe(self, job_type: JobType, request: dict[str, Any]) -> dict[str, Any]:
        return self.job(request[job_type.kind.member("Name")], job_type).describe()

    def _list(self, job_type: JobType, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            jobs = [job for job in self._jobs.values() if isinstance(job, job_type.job)]
        return listing.list_jobs(job_type.kind, jobs, request)

    def _stop(self, job_type: JobType, request: dict[str, Any]) -> None:
        job = self.job(request[job_type.kind.member("Name")], job_type)
        if not self.stop(job):
            raise ApiError(
                "ValidationException",
                f"The request was rejected because the {job.kind.noun} is in status {job.status}.",
            )

    def _add_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._job_of_arn(request["ResourceArn"])
        with self._lock:
            listing.add_tags(job.tags, request["Tags"])
            return {"Tags": listing.as_tag_list(job.tags)}

    def _list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._job_of_arn(request["ResourceArn"])
        with self._lock:
            return listing.list_tags(job.tags, request)

    def _delete_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._job_of_arn(request["ResourceArn"])
        with self._lock:
            for key in request["TagKeys"]:
                job.tags.pop(key, None)
        return {}

    # ---- jobs ----

    def unfinished_jobs(self) -> list[str]:
        """Return the names of the jobs that have not ended."""
        with self._lock:
            return [job.name for job in self._jobs.values() if not job.status.is_final]

    def saved(self) -> list[dict[str, Any]]:
        """Return the state of all jobs, as builtin types and datetimes."""
        with self._lock:
            return [
                {
                    "kind": job.kind.name,
                    "request": dict(job.request),
                    "arn": job.arn,
                    "tags": dict(job.tags),
                    **job.saved(),
                }
                for job in self._jobs.values()
            ]

    def restore(self, saved: list[dict[str, Any]]) -> None:
        """Restore the jobs of an earlier server. Unfinished jobs fail."""
        types = {job_type.kind.name: job_type.job for job_type in JOB_TYPES}
        for fields in saved:
            job = types[fields["kind"]](fields["request"], fields["arn"], fields["tags"])
            job.restore(fields)
            job.release()
            with self._lock:
                self._jobs[job.arn] = job

    def stop(self, job: Job) -> bool:
        """End a job early. Return False if it has already ended."""
        if not job.request_stop():
            return False
        self._withdraw(job)
        return True

    def _withdraw(self, job: Job) -> None:
        withdraw = self._withdrawals.get(job.arn)
        if withdraw is not None and withdraw():
            job.end(Status.STOPPED)

    def _submit(self, job_type: JobType, job: Job, context: contextvars.Context) -> None:
        withdraw = self._capacity.submit(job.instance_count, lambda: self._start(job_type, job, context.copy()))
        with self._lock:
            self._withdrawals[job.arn] = withdraw
        if job.stop_requested.is_set():  # stopped before it could be withdrawn
            self._withdraw(job)

    def _start(self, job_type: JobType, job: Job, context: contextvars.Context) -> None:
        job.start()
        ended = threading.Event()

        def run() -> None:
            try:
                job_type.run(job, self._job_context).run()
            finally:
                self._capacity.release(job.instance_count)
                job.release()
                with self._lock:
                    self._withdrawals.pop(job.arn, None)
                    self._ends.pop(job.arn, None)
                ended.set()

        with self._lock:
            self._ends[job.arn] = ended
        # The request's context holds the account of the job's credentials.
        context.run(start_thread, run, name=f"job-{job.name}")

    def job(self, name: str, job_type: JobType = PROCESSING) -> Job:
        """Return the job with a name.

        Raises:
            ApiError: No job has this name.
        """
        with self._lock:
            job = self._jobs.get(self.arn(name, job_type))
        if job is None:
            raise ApiError("ResourceNotFound", f"Could not find requested job with name: {name}")
        return job

    def _job_of_arn(self, arn: str) -> Job:
        job = self._jobs.get(arn)
        if job is None:
            raise ApiError("ResourceNotFound", f"Could not find requested resource with ARN: {arn}")
        return job

    def arn(self, name: str, job_type: JobType = PROCESSING) -> str:
        region, account_id = self._endpoint.region, self._endpoint.account_id
        return f"arn:aws:sagemaker:{region}:{account_id}:{job_type.kind.arn_type}/{name}"

    # ---- shutdown ----

    def close(self) -> None:
        """Kill all jobs, wait for their end, and delete their folders. Logs stay."""
        with self._lock:
            self._job_context.closing.set()
            jobs = list(self._jobs.values())
        for job in jobs:
            self.stop(job)
        for job in jobs:
            job.wait()
        with self._lock:
            ends = list(self._ends.values())
        for ended in ends:
            ended.wait()
        self._api_threads.shutdown()
        self._job_context.transfers.shutdown()
        self._job_context.clients.close()
        delete_folder(self._job_context.root / "jobs")
        self._job_context.guard.close()
