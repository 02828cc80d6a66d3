"""The SageMaker jobs of attempts, as SageMaker describes them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from cli.failures import error_code
from cli.stage.connection import Connection
from contract import layout
from contract.status import SageMakerKind

_JOB_NAME = re.compile(r"[A-Za-z0-9-]{1,42}-[0-9a-f]{16}-[1-9][0-9]{0,3}")
"""Names that `layout.sagemaker_job_name` makes."""


@dataclass(frozen=True)
class SageMakerJob:
    """A processing or training job. Texts are SageMaker's own; a missing one is empty."""

    name: str
    status: str
    ended_at: datetime | None = None
    failure_reason: str = ""
    exit_message: str = ""
    """What the container wrote about its failure."""
    execution_id: str = ""
    job_id: str = ""
    """The execution and the job for which the SageMaker job was made; empty if it is another's."""


def is_job_name(text: str) -> bool:
    """Return whether a text may be the name of an attempt's SageMaker job.

    >>> is_job_name("dev-churn-c110064683774e22-1"), is_job_name("nightly-2026-03-01")
    (True, False)
    """
    return _JOB_NAME.fullmatch(text) is not None


class SageMakerJobs:
    """The SageMaker jobs of an account and Region."""

    def __init__(self, connection: Connection) -> None:
        self._sagemaker = connection.client("sagemaker")

    def find(self, name: str, kind: SageMakerKind) -> SageMakerJob | None:
        """Return the job with this name; None if SageMaker has none."""
        try:
            if kind is SageMakerKind.PROCESSING:
                return _processing_job(self._sagemaker.describe_processing_job(ProcessingJobName=name))
            return _training_job(self._sagemaker.describe_training_job(TrainingJobName=name))
        except ClientError as error:
            # SageMaker answers with ValidationException for a training job that does not exist.
            if error_code(error) in ("ResourceNotFound", "ValidationException"):
                return None
            raise


def _processing_job(described: dict[str, Any]) -> SageMakerJob:
    outputs = described.get("ProcessingOutputConfig", {}).get("Outputs", ())
    uris = [str(output.get("S3Output", {}).get("S3Uri", "")) for output in outputs]
    return _job(described, "ProcessingJobName", "ProcessingJobStatus", described.get("ProcessingEndTime"), uris)


def _training_job(described: dict[str, Any]) -> SageMakerJob:
    uri = str(described.get("OutputDataConfig", {}).get("S3OutputPath", ""))
    return _job(described, "TrainingJobName", "TrainingJobStatus", described.get("TrainingEndTime"), [uri])


def _job(described: dict[str, Any], name: str, status: str, ended: datetime | None, uris: list[str]) -> SageMakerJob:
    places = [place for uri in uris if (place := layout.job_of_key(uri.removeprefix("s3://").partition("/")[2]))]
    execution_id, job_id = places[0] if places else ("", "")
    return SageMakerJob(
        name=str(described[name]),
        status=str(described[status]),
        ended_at=ended.astimezone(UTC) if ended else None,
        failure_reason=" ".join(str(described.get("FailureReason") or "").split()),
        exit_message=" ".join(str(described.get("ExitMessage") or "").split()),
        execution_id=execution_id,
        job_id=job_id,
    )
