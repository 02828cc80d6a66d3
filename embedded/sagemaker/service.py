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
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded.endpoint import Endpoint
from embedded.images import ImageStore
from embedded.sagemaker import api
from embedded.sagemaker.capacity import Capacity
from embedded.sagemaker.clients import ClientFactory
from embedded.sagemaker.errors import ApiError, validation_error
from embedded.sagemaker.guard import Guard, hold_mount_point
from embedded.sagemaker.job import ProcessingJob, Status
from embedded.sagemaker.runner import JobRun, JobTools
from embedded.sagemaker.sandbox import Abilities, Sandbox, probe
from embedded.sagemaker.support import consistency_problems, unsupported_problems
from embedded.sagemaker.validation import request_problems, service_model
from embedded.seams import Credentials, TaskCall
from embedded.seams.services import Response

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
    name = request.get("ProcessingJobName")
    return f"arn:aws:sagemaker:{region}:{account_id}:processing-job/{name}" if name else "*"


class SageMakerService:
    """All processing jobs of one embedded AWS; each instance of a job is a process on this machine.

    `credentials_for_role(role_arn, session_name)` gives what a job works with. `may_assume(role_arn)` says whether the
    service may act as a role, `authorize(role_arn, action, resource, context)` whether a role's policies allow
    something. `max_running_instances` (default: the number of cores) is how many instances run at once; further jobs
    wait in InProgress, and their runtime has not begun. `own_ml_root=False` makes jobs look for /opt/ml where a
    variable says, also where they could have their own. `pythons` run the image variants that they are named for,
    `python` all other images. Job folders and `root/logs/<job>/<host>.log` lie under `root`.
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
        self._jobs: dict[str, ProcessingJob] = {}
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
            "CreateProcessingJob": self._create,
            "DescribeProcessingJob": self._describe,
            "ListProcessingJobs": self._list,
            "StopProcessingJob": self._stop,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }
        if operation not in operations:
            known = operation in service_model().operation_names
            what = "is not supported by the embedded AWS: run on AWS" if known else "is no operation of SageMaker"
            raise ApiError("UnknownOperationException", f"{operation!r} {what}")
        if problems := request_problems(operation, request):
            raise validation_error(problems)
        return operations[operation]({name: value for name, value in request.items() if value is not None})

    def _create(self, request: dict[str, Any]) -> dict[str, Any]:
        if problems := unsupported_problems(request) + consistency_problems(request):
            raise validation_error(problems)
        name, role_arn = request["ProcessingJobName"], request["RoleArn"]
        if not self._may_assume(role_arn):
            raise ApiError(
                "ValidationException",
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
                "'sagemaker.amazonaws.com' to assume the role.",
            )
        for key_id in (
            request["ProcessingResources"]["ClusterConfig"].get("VolumeKmsKeyId"),
            (request.get("ProcessingOutputConfig") or {}).get("KmsKeyId"),
        ):
            if key_id:
                self._key_arn(key_id)
        arn = self.arn(name)
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags") or []}
        job = ProcessingJob(request, arn, tags)
        with self._lock:
            if self._tools.closing.is_set():
                raise ApiError("ServiceUnavailableException", "the embedded AWS is ending")
            if name in self._jobs:
                raise ApiError(
                    "ResourceInUse",
                    "Job name must be unique within an AWS account and region, and a job with this name already exists "
                    f"({arn})",
                )
            self._jobs[name] = job
        context = contextvars.copy_context()
        withdraw = self._capacity.submit(job.instance_count, lambda: self._start(job, context))
        with self._lock:
            self._withdrawals[name] = withdraw
        if job.stop_requested.is_set():  # a stop that came before there was anything to withdraw
            self._withdraw(job)
        return {"ProcessingJobArn": arn}

    def _describe(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._job(request["ProcessingJobName"]).describe()

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            jobs = list(self._jobs.values())
        return api.list_jobs(jobs, request)

    def _stop(self, request: dict[str, Any]) -> None:
        job = self._job(request["ProcessingJobName"])
        if not self.stop(job):
            raise ApiError(
                "ValidationException",
                f"The request was rejected because the processing job is in status {job.status}.",
            )

    def _add_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._job_of_arn(request["ResourceArn"])
        with self._lock:
            api.add_tags(job.tags, request["Tags"])
            return {"Tags": api.as_tag_list(job.tags)}

    def _list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._job_of_arn(request["ResourceArn"])
        with self._lock:
            return api.list_tags(job.tags, request)

    def _delete_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._job_of_arn(request["ResourceArn"])
        with self._lock:
            for key in request["TagKeys"]:
                job.tags.pop(key, None)
        return {}

    # ---- jobs ----------------------------------------------------------------------------------------------------

    def stop(self, job: ProcessingJob) -> bool:
        """Let a job end early; False when it has ended already."""
        if not job.request_stop():
            return False
        self._withdraw(job)
        return True

    def _withdraw(self, job: ProcessingJob) -> None:
        withdraw = self._withdrawals.get(job.name)
        if withdraw is not None and withdraw():
            job.end(Status.STOPPED)

    def _start(self, job: ProcessingJob, context: contextvars.Context) -> None:
        job.start()

        def run() -> None:
            try:
                JobRun(job, self._tools).run()
            finally:
                self._capacity.release(job.instance_count)

        # The context of the request says whose account the job's credentials belong to.
        thread = threading.Thread(target=context.run, args=(run,), name=f"job-{job.name}", daemon=True)
        with self._lock:
            self._threads[job.name] = thread
            thread.start()

    def _job(self, name: str) -> ProcessingJob:
        with self._lock:
            job = self._jobs.get(name)
        if job is None:
            raise ApiError("ResourceNotFound", f"Could not find requested job with name: {name}")
        return job

    def _job_of_arn(self, arn: str) -> ProcessingJob:
        job = self._jobs.get(arn.rpartition("/")[2])
        if job is None or job.arn != arn:
            raise ApiError("ResourceNotFound", f"Could not find requested resource with ARN: {arn}")
        return job

    def arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{self._endpoint.region}:{self._endpoint.account_id}:processing-job/{name}"

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

    # ---- Step Functions and the end ------------------------------------------------------------------------------

    def run_processing_job(self, call: TaskCall) -> dict[str, Any]:
        """Serve the Task resource `arn:aws:states:::sagemaker:createProcessingJob`, with and without `.sync`."""
        from embedded.sagemaker.task import run_processing_job  # noqa: PLC0415 - it needs this class

        return run_processing_job(self, self._authorize, call)

    def job(self, name: str) -> ProcessingJob:
        """The job of that name. Raises ApiError."""
        return self._job(name)

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
