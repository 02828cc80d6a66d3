"""Find the earlier executions over the datasets of a request that keeps what is scored already.

Every execution counts that has outputs of the dataset, whatever its request was: over the whole
dataset, over a window of uploads, or with other models. Each of its commits counts alone, by the
rule of `contract.job.scored_before`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contract import layout
from contract.problems import InvalidInputError
from contract.status import ExecutionKind, ExecutionStatus
from contract.table.records import ExecutionRecord
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.resume.lineage import OldExecution, check_jobs
from lambdas.planning.resume.old_jobs import OldJob, read_old_jobs
from lambdas.planning.scoring.choose_models import Choice
from lambdas.stage.activity import Activity
from lambdas.stage.deployment import Deployment
from lambdas.stage.parallel import in_parallel

MAX_EARLIER = 1_000
"""Largest number of earlier executions in which commits are looked for, the newest ones."""


@dataclass(frozen=True)
class EarlierJobs:
    """Jobs of earlier executions that may have scored what a request asks for."""

    request: ExecutionRequest
    old_jobs: tuple[OldJob, ...]
    """The newest execution's first."""

    def groups(self) -> dict[str, str]:
        """Return the old job of each model, as models that share an output were grouped before."""
        found: dict[str, str] = {}
        for job in self.old_jobs:
            for model_id in job.versions:
                found.setdefault(model_id, job.job_id)
        return found


def read_earlier_jobs(
    request: ExecutionRequest, choice: Choice, deployment: Deployment, activity: Activity
) -> EarlierJobs:
    """Return the jobs of ended executions that scored the chosen models or fleets on the same dataset.

    Raises:
        ResumedJobRunningError: when such an execution has ended, but one of its SageMaker jobs has not.
    """
    wanted = {(reader.dataset, reader.version.spec.model_id) for reader in choice.readers}
    names = in_parallel(lambda dataset: _executions_over(dataset, deployment), choice.datasets)
    found = in_parallel(
        lambda name: _find_execution(name, deployment), dict.fromkeys(name for some in names for name in some)
    )
    known = sorted(filter(None, found), key=lambda record: record.started_at, reverse=True)[:MAX_EARLIER]
    lineage = list(in_parallel(lambda record: _with_jobs(record, wanted, deployment, activity), known))
    ended = [old for old in lineage if old is not None]
    for old in ended:
        check_jobs(old, activity)
    specs = {reader.version.spec.model_id: reader.version.spec for reader in choice.readers}
    return EarlierJobs(request, tuple(read_old_jobs(ended, specs, deployment.store)))


def _executions_over(dataset: str, deployment: Deployment) -> Sequence[str]:
    """Return the ids of the executions with outputs of a dataset, or to which its pointers lead.

    An execution over objects without rows has no outputs, but pointers. One that sent every row to
    quarantine has only that.
    """
    found = deployment.latest.executions_over(dataset)
    for kind, output_layout in layout.OUTPUT_AREAS:
        prefix = layout.executions_with_outputs_prefix(kind, dataset, output_layout)
        found += [name.removesuffix("/") for name in deployment.store.result_entries(prefix)]
    return found


def _find_execution(name: str, deployment: Deployment) -> ExecutionRecord | None:
    try:
        record = deployment.table.find_execution(name)
    except InvalidInputError:
        # Of another release.
        return None
    return record if record is not None and record.kind is ExecutionKind.SCORING else None


def _with_jobs(
    record: ExecutionRecord, wanted: Iterable[tuple[str, str]], deployment: Deployment, activity: Activity
) -> OldExecution | None:
    """Return an execution with its relevant jobs; None if it runs, because it has outputs without commits."""
    if record.status is ExecutionStatus.RUNNING and activity.execution_runs(record.execution_arn):
        return None
    jobs = deployment.table.jobs(record.execution_id)
    relevant = (job for job in jobs if any((job.dataset, model_id) in wanted for model_id in job.model_ids))
    return OldExecution(record, tuple(relevant))
