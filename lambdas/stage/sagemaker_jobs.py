"""Look up and stop the SageMaker jobs of attempts. The only module of the functions that calls SageMaker."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from contract.status import SageMakerKind
from lambdas.errors import JobStillRunningError
from lambdas.stage.observability import logger

_NO_SUCH_JOB = re.compile(r"not found|could not find|does not exist", re.IGNORECASE)
_JOBS_PER_PAGE = 100
_ENDED = ("", "Completed", "Failed", "Stopped")
_THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"})


@dataclass(frozen=True)
class RunningJob:
    """A SageMaker job that runs, or did a moment ago."""

    kind: SageMakerKind
    name: str
    arn: str


class SageMakerJobs:
    """The jobs of a stage's attempts, in SageMaker."""

    def __init__(self, sagemaker: Any) -> None:
        self._sagemaker = sagemaker

    def end(self, kind: SageMakerKind, name: str) -> str:
        """Stop the job unless it has ended, and return its status; empty if it was never created. Idempotent.

        Raises:
            JobStillRunningError: The job has not ended yet. Call again later.
        """
        try:
            status = self.status(kind, name)
            if status == "InProgress":
                logger.warning("the workflow no longer waits for this job: it is stopped", sagemaker_job_name=name)
                self.stop(kind, name)
                status = self.status(kind, name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _THROTTLED:
                raise
            status = f"unknown ({error})"
        if status not in _ENDED:
            raise JobStillRunningError(name, status)
        return status

    def running(self, prefix: str) -> Iterator[RunningJob]:
        """Yield the jobs in progress whose names begin with a prefix."""
        for kind, operation, word in (
            (SageMakerKind.PROCESSING, "list_processing_jobs", "Processing"),
            (SageMakerKind.TRAINING, "list_training_jobs", "Training"),
        ):
            pages = self._sagemaker.get_paginator(operation).paginate(
                StatusEquals="InProgress", NameContains=prefix, PaginationConfig={"PageSize": _JOBS_PER_PAGE}
            )
            for page in pages:
                for found in page[f"{word}JobSummaries"]:
                    if found[f"{word}JobName"].startswith(prefix):
                        yield RunningJob(kind, found[f"{word}JobName"], found[f"{word}JobArn"])

    def tags(self, arn: str) -> dict[str, str]:
        """Return the tags of a job."""
        pages = self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def running_status(self, kind: SageMakerKind, name: str) -> str:
        """Return the status of a job that has not ended; empty if it has, or was never created."""
        status = self.status(kind, name)
        return "" if status in _ENDED else status

    def status(self, kind: SageMakerKind, name: str) -> str:
        """Return the job's status; empty if there is no job with this name."""
        try:
            if kind is SageMakerKind.TRAINING:
                return str(self._sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"])
            return str(self._sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"])
        except ClientError as error:
            # The code is ResourceNotFound or ValidationException; the text is the same in both.
            if _NO_SUCH_JOB.search(error.response["Error"]["Message"]):
                return ""
            raise

    def stop(self, kind: SageMakerKind, name: str) -> None:
        """Ask a job to stop. Do nothing if it has ended."""
        try:
            if kind is SageMakerKind.TRAINING:
                self._sagemaker.stop_training_job(TrainingJobName=name)
            else:
                self._sagemaker.stop_processing_job(ProcessingJobName=name)
        except ClientError as error:
            # The job has ended in the meantime.
            if error.response["Error"]["Code"] != "ValidationException":
                raise
