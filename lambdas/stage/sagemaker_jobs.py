"""Look up and stop the SageMaker jobs of attempts. The only module of the functions that calls SageMaker."""

import re
from typing import Any

from botocore.exceptions import ClientError

from contract.status import ExecutionKind
from lambdas.errors import JobStillRunningError
from lambdas.stage.observability import logger

_NO_SUCH_JOB = re.compile(r"not found|could not find|does not exist", re.IGNORECASE)
_ENDED = ("", "Completed", "Failed", "Stopped")
_THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"})


class SageMakerJobs:
    """The jobs of a stage's attempts, in SageMaker."""

    def __init__(self, sagemaker: Any) -> None:
        self._sagemaker = sagemaker

    def end(self, kind: ExecutionKind, name: str) -> None:
        """Stop the job unless it has ended. Do nothing if it was never created. Idempotent.

        Raises:
            JobStillRunningError: The job has not ended yet. Call again later.
        """
        try:
            status = self._status(kind, name)
            if status == "InProgress":
                logger.warning("the workflow no longer waits for this job: it is stopped", sagemaker_job_name=name)
                self._stop(kind, name)
                status = self._status(kind, name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _THROTTLED:
                raise
            status = f"unknown ({error})"
        if status not in _ENDED:
            raise JobStillRunningError(name, status)

    def running_status(self, kind: ExecutionKind, name: str) -> str:
        """Return the status of a job that has not ended; empty if it has, or was never created."""
        status = self._status(kind, name)
        return "" if status in _ENDED else status

    def _status(self, kind: ExecutionKind, name: str) -> str:
        """Return the job's status; empty if there is no job with this name."""
        try:
            if kind is ExecutionKind.TRAINING:
                return str(self._sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"])
            return str(self._sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"])
        except ClientError as error:
            # The code is ResourceNotFound or ValidationException; the text is the same in both.
            if _NO_SUCH_JOB.search(error.response["Error"]["Message"]):
                return ""
            raise

    def _stop(self, kind: ExecutionKind, name: str) -> None:
        try:
            if kind is ExecutionKind.TRAINING:
                self._sagemaker.stop_training_job(TrainingJobName=name)
            else:
                self._sagemaker.stop_processing_job(ProcessingJobName=name)
        except ClientError as error:
            # The job has ended in the meantime.
            if error.response["Error"]["Code"] != "ValidationException":
                raise
