"""However an execution ends, no record stays RUNNING and no job runs on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from contract import layout
from contract.status import ExecutionStatus, FailureKind, JobStatus
from embedded.faults import AccessDenied
from tests.e2e.failing_models import Gate
from tests.e2e.stage import Stage, people, train_xgboost, wait_for


def rules(stage: Stage, *names: str) -> list[str]:
    """Return the physical names of rules of Reconcile."""
    found = [rule["Name"] for rule in stage.client("events").list_rules()["Rules"]]
    return [rule for rule in found if any(f"Closing{name}" in rule for name in names)]


@contextmanager
def lost_events(stage: Stage, disabled: Sequence[str]) -> Iterator[None]:
    events = stage.client("events")
    assert disabled
    for name in disabled:
        events.disable_rule(Name=name)
    try:
        yield
    finally:
        for name in disabled:
            events.enable_rule(Name=name)


def is_closed(stage: Stage, execution_id: str) -> bool:
    record = stage.executions.snapshot(execution_id).record
    return record is not None and record.status is not ExecutionStatus.RUNNING


def job_status(stage: Stage, name: str) -> str:
    return str(stage.client("sagemaker").describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"])


def copy_of_job(stage: Stage, name: str, copied: str) -> None:
    """Create a SageMaker job as the workflow does, although no workflow waits for it."""
    sagemaker = stage.client("sagemaker")
    described = sagemaker.describe_processing_job(ProcessingJobName=copied)
    members = ("ProcessingInputs", "ProcessingOutputConfig", "ProcessingResources", "StoppingCondition")
    members += ("AppSpecification", "NetworkConfig", "RoleArn")
    tags = sagemaker.list_tags(ResourceArn=described["ProcessingJobArn"])["Tags"]
    request = {member: described[member] for member in members if member in described}
    sagemaker.create_processing_job(ProcessingJobName=name, Tags=tags, **request)


def test_a_stopped_execution_whose_events_are_lost_is_closed_by_the_schedule(stage: Stage, shared_folder: Path) -> None:
    stage.put_dataset("lost-events", {"a.parquet": people(40, 1)})
    stage.register("lost-events", Gate(shared_folder), dataset="lost-events")
    with lost_events(stage, rules(stage, "Rule", "ProcessingJobs")):
        execution_id = stage.executions.start('{"models": ["lost-events"]}', "lost-events")
        wait_for((shared_folder / "waiting").exists, "the model waits")
        (described,) = stage.processing_jobs(execution_id)
        name = described["ProcessingJobName"]
        arn = stage.executions.execution_arn(execution_id)
        stage.client("stepfunctions").stop_execution(executionArn=arn)
        wait_for(lambda: job_status(stage, name) == "Stopped", "the workflow stops its job")
        # Such a job remains if the answer to its creation was lost.
        copy_of_job(stage, f"{name[:-2]}-9", name)
        assert not is_closed(stage, execution_id)
        stage.aws.clock.set(stage.aws.clock.now() + timedelta(minutes=15))
        wait_for(lambda: is_closed(stage, execution_id), "the schedule closes the records")
        wait_for(lambda: job_status(stage, f"{name[:-2]}-9") == "Stopped", "the schedule stops the orphaned job")
    (job,) = stage.executions.snapshot(execution_id).jobs
    assert (job.status, job.failure_kind) == (JobStatus.FAILED, FailureKind.STOPPED)
    assert stage.summary(execution_id).status is ExecutionStatus.FAILED


def test_a_job_that_starts_after_its_execution_has_ended_is_stopped(stage: Stage, shared_folder: Path) -> None:
    stage.put_dataset("late-job", {"a.parquet": people(40, 1)})
    stage.register("late-job", Gate(shared_folder), dataset="late-job")
    execution_id = stage.executions.start('{"models": ["late-job"]}', "late-job")
    wait_for((shared_folder / "waiting").exists, "the model waits")
    (described,) = stage.processing_jobs(execution_id)
    stage.client("stepfunctions").stop_execution(executionArn=stage.executions.execution_arn(execution_id))
    wait_for(lambda: is_closed(stage, execution_id), "the event closes the records")
    name = described["ProcessingJobName"]
    copy_of_job(stage, f"{name[:-2]}-9", name)
    wait_for(lambda: job_status(stage, f"{name[:-2]}-9") == "Stopped", "the job's event stops it")


def test_the_schedule_moves_pointers_that_could_not_be_moved_at_the_end(stage: Stage) -> None:
    stage.put_dataset("pointed", {"a.parquet": people(40, 1)})
    stage.register("pointed", train_xgboost(1), dataset="pointed")
    key = layout.latest_key("pointed", "pointed")

    def try_once(definition: dict[str, Any]) -> None:
        definition["States"]["SummarizeExecution"]["Retry"] = []

    fault = AccessDenied(service="s3", operation="PutObject", resource=f"*/{key}", count=20)
    fault_id = stage.aws.faults.add(fault)
    try:
        with stage.changed_workflow(try_once), lost_events(stage, rules(stage, "Rule", "ProcessingJobs")):
            stage.run({"models": ["pointed"]}, "pointed")
    finally:
        stage.aws.faults.clear(fault_id)
    assert stage.executions.workflow_status("pointed") == "FAILED"
    assert key not in stage.result_keys(layout.LATEST_PREFIX)
    record = stage.executions.snapshot("pointed").record
    assert record is not None
    assert (record.status, record.closing_pending) == (ExecutionStatus.SUCCEEDED, True)

    stage.aws.clock.set(stage.aws.clock.now() + timedelta(minutes=15))
    wait_for(lambda: key in stage.result_keys(layout.LATEST_PREFIX), "the schedule moves the pointer")

    def is_settled() -> bool:
        record = stage.executions.snapshot("pointed").record
        return record is not None and not record.closing_pending

    wait_for(is_settled, "nothing is left to do")
