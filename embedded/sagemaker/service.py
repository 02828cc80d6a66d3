"""The SageMaker service of the embedded AWS, as the API shows it."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import shutil
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded.images.image_store import ImageStore
from embedded.sagemaker.clients import ClientFactory
from embedded.sagemaker.errors import ApiError, validation_error
from embedded.sagemaker.faults import Faults
from embedded.sagemaker.instances.capacity import Capacity
from embedded.sagemaker.instances.guard import Guard, hold_mount_point
from embedded.sagemaker.instances.sandbox import Abilities, Sandbox, probe
from embedded.sagemaker.jobs.job import Job, Status
from embedded.sagemaker.jobs.job_run import JobTools
from embedded.sagemaker.jobs.job_types import JOB_TYPES, PROCESSING, JobType
from embedded.sagemaker.requests import listing
from embedded.sagemaker.requests.validation import request_problems, service_model
from embedded.seams import Credentials
from embedded.seams.services import Response
from embedded.server.endpoint import Endpoint

TARGET_PREFIX = "SageMaker."
GRACE_SECONDS = 120.0
"""Between SIGTERM and SIGKILL; the service documents it for training jobs and gives no figure for processing jobs."""
_WATCH_SECONDS = 0.1
_API_THREADS = 4

Authorize = Callable[[str, str, str, dict[str, Any]], bool]


def resource_arn(operation: str, body: bytes, region: str, account_id: str) -> str:
    """The ARN that IAM policies are matched against for one request of this API."""
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
    """All jobs of one embedded AWS; each instance of a job is a process on this machine.

    `credentials_for_role(role_arn, session_name)` gives what a job works with. `may_assume(role_arn)` says whether the
    service may act as a role, `authorize(role_arn, action, resource, context)` whether a role's policies allow
    something. `max_running_instances` (default: the number of cores) is how many instances run at once; further jobs
    wait in InProgress, and their runtime has not begun. `own_ml_root=False` makes jobs look for /opt/ml where a
    variable says, also where they could have their own. `pythons` run the image variants that they are named for,
    `python` all other images. Job folders, the orders for faults and
    `root/logs/<processing-job or training-job>/<job>/<host>.log` lie under `root`.
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
        own_ml_root: bool | None = None,
        python: str = sys.executable,
        pythons: Mapping[str, str] | None = None,
    ) -> None:
        abilities = probe()
        if own_ml_root is not None:
            abilities = Abilities(own_ml_root and abilities.own_ml_root, abilities.own_network)
        self._endpoint = endpoint
        self._may_assume = may_assume
        self._authorize = authorize
        self.faults = Faults(root)
        # By ARN, as the next two: jobs of different kinds may have the same name.
        self._jobs: dict[str, Job] = {}
        self._withdrawals: dict[str, Callable[[], bool]] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._known_keys: dict[str, str] = {}
        self._lock = threading.Lock()
        self._capacity = Capacity(max_running_instances or os.cpu_count() or 1)
        self._api_threads = ThreadPoolExecutor(_API_THREADS, "sagemaker-api")
        self._tools = JobTools(
            endpoint=endpoint,
            images=images,
            root=root,
            may_use_key=self._may_use_key,
            clients=ClientFactory(endpoint, credentials_for_role),
            sandbox=Sandbox(abilities),
            guard=Guard(python),
            faults=self.faults,
            grace_seconds=grace_seconds,
            watch_seconds=_WATCH_SECONDS,
            python=python,
            pythons=pythons or {},
        )
        (root / "jobs").mkdir(parents=True, exist_ok=True)
        self._tools.guard.watch_folder(root / "jobs")
        self._mount_point = hold_mount_point() if abilities.own_ml_root else None

    # ---- the API -------------------------------------------------------------------------------------------------

    async def handle(
        self, _method: str, _path: str, headers: dict[str, str], body: bytes, _query: dict[str, Any]
    ) -> Response:
        """Answer one request of the JSON 1.1 protocol."""
        target = {name.lower(): value for name, value in headers.items()}.get("x-amz-target", "")
        context = contextvars.copy_context()
        work = asyncio.get_running_loop().run_in_executor(
            self._api_threads, context.run, self._answer, target.removeprefix(TARGET_PREFIX), body
        )
        status, content = await work
        common = {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": str(uuid.uuid4())}
        return status, common, content

    def _answer(self, operation: str, body: bytes) -> tuple[int, bytes]:
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
        """Carry out one operation. Raises ApiError."""
        operations: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }
        for job_type in JOB_TYPES:
            word = job_type.kind.word
            operations |= {
                f"Create{word}Job": partial(self._create, job_type),
                f"Describe{word}Job": partial(self._describe, job_type),
                f"List{word}Jobs": partial(self._list, job_type),
                f"Stop{word}Job": partial(self._stop, job_type),
            }
        if operation not in operations:
            known = operation in service_model().operation_names
            what = "is not supported by the embedded AWS: run on AWS" if known else "is no operation of SageMaker"
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
                self._key_arn(key_id)
        arn = self.arn(name, job_type)
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags") or []}
        job = job_type.job(request, arn, tags)
        with self._lock:
            if self._tools.closing.is_set():
                raise ApiError("ServiceUnavailableException", "the embedded AWS is ending")
            if arn in self._jobs:
                raise ApiError(
                    "ResourceInUse",
                    "Job name must be unique within an AWS account and region, and a job with this name already exists "
                    f"({arn})",
                )
            self._jobs[arn] = job
        context = contextvars.copy_context()
        withdraw = self._capacity.submit(job.instance_count, lambda: self._start(job_type, job, context))
        with self._lock:
            self._withdrawals[arn] = withdraw
        if job.stop_requested.is_set():  # a stop that came before there was anything to withdraw
            self._withdraw(job)
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

    # ---- jobs ----------------------------------------------------------------------------------------------------

    def stop(self, job: Job) -> bool:
        """Let a job end early; False when it has ended already."""
        if not job.request_stop():
            return False
        self._withdraw(job)
        return True

    def _withdraw(self, job: Job) -> None:
        withdraw = self._withdrawals.get(job.arn)
        if withdraw is not None and withdraw():
            job.end(Status.STOPPED)

    def _start(self, job_type: JobType, job: Job, context: contextvars.Context) -> None:
        job.start()

        def run() -> None:
            try:
                job_type.run(job, self._tools).run()
            finally:
                self._capacity.release(job.instance_count)

        # The context of the request says whose account the job's credentials belong to.
        thread = threading.Thread(target=context.run, args=(run,), name=f"job-{job.name}", daemon=True)
        with self._lock:
            self._threads[job.arn] = thread
            thread.start()

    def job(self, name: str, job_type: JobType = PROCESSING) -> Job:
        """The job of that name. Raises ApiError."""
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

    # ---- keys ----------------------------------------------------------------------------------------------------

    def _key_arn(self, key_id: str) -> str:
        """The ARN of a KMS key, looked up once. Raises ApiError where there is none."""
        if key_id not in self._known_keys:
            client = self._tools.clients.for_account("kms")
            try:
                self._known_keys[key_id] = client.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
            except ClientError as error:
                message = error.response["Error"].get("Message", "")
                raise ApiError("ValidationException", f"KMS key {key_id!r} cannot be used: {message}") from error
            finally:
                client.close()
        return self._known_keys[key_id]

    def _may_use_key(self, role_arn: str, key_id: str) -> bool:
        return self._authorize(role_arn, "kms:GenerateDataKey", self._key_arn(key_id), {})

    # ---- the end -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all jobs at once, wait until nothing of them is left, and remove their folders; logs stay."""
        with self._lock:
            self._tools.closing.set()
            jobs = list(self._jobs.values())
        for job in jobs:
            self.stop(job)
        for job in jobs:
            job.wait()
        for thread in list(self._threads.values()):
            thread.join()
        self._api_threads.shutdown()
        self._tools.transfers.shutdown()
        self._tools.clients.close()
        shutil.rmtree(self._tools.root / "jobs", ignore_errors=True)
        if self._mount_point is not None:
            os.close(self._mount_point)
            self._mount_point = None
        self._tools.guard.close()
