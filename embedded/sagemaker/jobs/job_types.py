"""The kinds of jobs of the service, and the functions of their shared operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from embedded.sagemaker.jobs.job import Job, JobKind
from embedded.sagemaker.jobs.job_run import JobRun
from embedded.sagemaker.jobs.processing import request as processing_request
from embedded.sagemaker.jobs.processing.job import ProcessingJob
from embedded.sagemaker.jobs.processing.run import ProcessingRun
from embedded.sagemaker.jobs.training import request as training_request
from embedded.sagemaker.jobs.training.job import TrainingJob
from embedded.sagemaker.jobs.training.run import TrainingRun
from embedded.sagemaker.requests.coverage import Coverage


@dataclass(frozen=True)
class JobType:
    """A kind of job.

    `consistency_problems` and `key_ids` expect a request that fits the service's model.
    """

    kind: JobKind
    job: type[Job]
    run: type[JobRun[Any]]
    coverage: Coverage
    consistency_problems: Callable[[dict[str, Any]], list[str]]
    key_ids: Callable[[dict[str, Any]], list[str | None]]


PROCESSING = JobType(
    kind=ProcessingJob.kind,
    job=ProcessingJob,
    run=ProcessingRun,
    coverage=processing_request.COVERAGE,
    consistency_problems=processing_request.consistency_problems,
    key_ids=processing_request.key_ids,
)
TRAINING = JobType(
    kind=TrainingJob.kind,
    job=TrainingJob,
    run=TrainingRun,
    coverage=training_request.COVERAGE,
    consistency_problems=training_request.consistency_problems,
    key_ids=training_request.key_ids,
)
JOB_TYPES = (PROCESSING, TRAINING)
