"""Plan an execution in this process, commit half of each job's objects, and close it as stopped."""

from contract import layout
from contract.job.ledger import Commit, OutputFile, SegmentHeader, commit_line, segment_content
from contract.job.scoring_spec import JobSpec
from contract.status import AttemptStatus
from contract.table.records import AttemptRecord
from contract.workflow.messages import ExecutionPlanInput, SummaryInput
from lambdas.closing.close import close_execution
from lambdas.closing.outcome import ABORT_ERRORS
from lambdas.plan_execution.plan import plan_execution
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.parallel import in_parallel
from lambdas.stage.resources import resources

STARTED_AT = "2026-01-05T10:00:00.123Z"
OLD = "bench-1"
_STARTED_JOBS = 100
"""Jobs that were running when the execution was stopped: the default of `max_concurrency`."""


def arn(execution_id: str) -> str:
    return f"arn:aws:states:eu-central-1:123456789012:execution:fleetscore-bench:{execution_id}"


def _commit_half(spec: JobSpec, store: ObjectStore) -> None:
    objects = store.objects_of(spec)
    lines = [
        commit_line(
            Commit(
                model_id=model.model_id,
                object=item.key,
                etag=item.etag,
                rows_in=10,
                rows_scored=10,
                rows_quarantined=0,
                outputs=(OutputFile("predictions", f"model_id={model.model_id}/{item.key}", 50, "hUqaZWOBzwk="),),
            )
        )
        for item in objects[: len(objects) // 2]
        for model in spec.committing_models
    ]
    models = {model.model_id: model.version for model in spec.committing_models}
    store.add_segment(spec, *segment_content(SegmentHeader(spec.execution_id, spec.job_id, models), lines))


def main() -> None:
    found = resources()
    deployment = found.deployment
    plan_execution(ExecutionPlanInput(OLD, arn(OLD), STARTED_AT, {}), deployment, found.plan_defaults, found.activity)
    jobs = deployment.table.jobs(OLD)
    for _ in in_parallel(lambda job: _commit_half(deployment.store.job_spec(OLD, job.job_id), deployment.store), jobs):
        pass
    for job in jobs[:_STARTED_JOBS]:
        name = layout.sagemaker_job_name("bench", arn(OLD), STARTED_AT, job.job_id, 1)
        attempt = AttemptRecord(OLD, job.job_id, 1, AttemptStatus.RUNNING, name, 10, "ml.m5.xlarge", 1, STARTED_AT)
        deployment.table.open_attempt(job, attempt)
    state = {"request": {}, "failure": {"Error": ABORT_ERRORS["ABORTED"], "Cause": ""}}
    ended = SummaryInput(OLD, arn(OLD), STARTED_AT, state)
    close_execution(ended, deployment, found.task_tokens, lambda: 900.0)


if __name__ == "__main__":
    main()
