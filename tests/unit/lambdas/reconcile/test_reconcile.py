"""Reconcile: what it closes and stops, and that doubled, late and shuffled events change nothing."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contract import layout
from contract.pool.pool_records import JobKind, Lease
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus, SageMakerKind
from contract.table import records
from contract.table.records import AttemptRecord
from lambdas.admission.decisions import Ask
from lambdas.errors import ReconciliationError
from lambdas.reconcile.decisions import end_of, read_owner, why_orphaned
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.messaging.execution_reader import EndedExecution, ExecutionReader
from lambdas.stage.resources import resources
from lambdas.stage.sagemaker_jobs import RunningJob, SageMakerJobs
from lambdas.stage.tables.pool_table import Admitted
from tests.unit.lambdas.builders import STARTED_AT, Stage, any_execution, any_job, pointer_event, summary_event
from tests.unit.lambdas.reconcile.test_ends_of_executions import status_change

Step = Callable[[dict[str, Any]], dict[str, Any]]
SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
NOW = datetime.fromisoformat(STARTED_AT) + timedelta(hours=2)
NO_DEADLINES = {"deadlines_at_risk": 0, "deadlines_missed": 0}


class FakeSageMaker:
    """The running SageMaker jobs of an account, by name, with their tags."""

    def __init__(self) -> None:
        self.tags_of: dict[str, dict[str, str]] = {}
        self.stopped: list[str] = []

    def add(self, name: str, execution_id: str = "e-1", job_id: str = "delays-ua", stage: str = "test") -> None:
        named = {"stage": stage, "execution-id": execution_id, "job-id": job_id}
        self.tags_of[name] = {f"fleetscore:{key}": value for key, value in named.items()}

    def running(self, prefix: str) -> Iterator[RunningJob]:
        for name in [name for name in self.tags_of if name.startswith(prefix)]:
            yield RunningJob(SageMakerKind.PROCESSING, name, f"arn:aws:sagemaker:::processing-job/{name}")

    def tags(self, arn: str) -> dict[str, str]:
        return self.tags_of.get(arn.rpartition("/")[2], {})

    def status(self, _kind: SageMakerKind, name: str) -> str:
        return "InProgress" if name in self.tags_of else "Stopped" if name in self.stopped else ""

    def stop(self, _kind: SageMakerKind, name: str) -> None:
        if self.tags_of.pop(name, None) is not None:
            self.stopped.append(name)


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> FakeSageMaker:
    fake = FakeSageMaker()
    for name in ("running", "tags", "status", "stop"):
        monkeypatch.setattr(SageMakerJobs, name, lambda _, *arguments, name=name: getattr(fake, name)(*arguments))
    return fake


@pytest.fixture
def workflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the statuses of executions in Step Functions, by id; the others do not exist."""
    statuses = {"e-1": "RUNNING"}

    def read(_: object, arn: str) -> EndedExecution:
        return EndedExecution("{}", "", "", status=statuses.get(arn.rpartition(":")[2], ""))

    monkeypatch.setattr(ExecutionReader, "read", read)
    return statuses


def job_change(name: str, status: str) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:::processing-job/{name}"
    detail = {"ProcessingJobName": name, "ProcessingJobArn": arn, "ProcessingJobStatus": status}
    return {"source": "aws.sagemaker", "detail-type": "SageMaker Processing Job State Change", "detail": detail}


def test_only_jobs_that_a_workflow_of_the_stage_created_have_an_owner() -> None:
    tags = {"fleetscore:stage": "dev", "fleetscore:execution-id": "e-1", "fleetscore:job-id": "j"}
    assert read_owner(tags, "dev") is not None
    assert read_owner(tags, "prod") is None
    assert read_owner({"fleetscore:stage": "dev"}, "dev") is None


@pytest.mark.parametrize(
    ("execution", "job", "text"),
    [
        (ExecutionStatus.RUNNING, any_job(status=JobStatus.RUNNING, sagemaker_job_name="it"), ""),
        (ExecutionStatus.RUNNING, any_job(status=JobStatus.RUNNING, sagemaker_job_name="b"), "delays-ua runs as b"),
        (ExecutionStatus.RUNNING, any_job(status=JobStatus.WAITING), "delays-ua is WAITING"),
        (ExecutionStatus.RUNNING, any_job(status=JobStatus.FAILED), "delays-ua is FAILED"),
        (ExecutionStatus.RUNNING, any_job(), ""),
        (ExecutionStatus.RUNNING, None, ""),
        (ExecutionStatus.PARTLY_FAILED, None, "its execution is PARTLY_FAILED"),
        (None, None, ""),
    ],
)
def test_a_job_is_orphaned_when_its_records_say_that_it_does_not_run(execution: Any, job: Any, text: str) -> None:
    record = any_execution(status=execution) if execution else None
    assert text in why_orphaned("it", record, job)
    assert bool(why_orphaned("it", record, job)) == bool(text)


def test_an_execution_ends_as_step_functions_says() -> None:
    record = any_execution()
    assert end_of(record, EndedExecution("{}", "", "", status="RUNNING"), NOW) is None
    assert end_of(record, EndedExecution("", "", ""), NOW) is None, "it may not be visible yet"
    gone = end_of(record, EndedExecution("", "", ""), NOW + timedelta(days=2))
    assert gone is not None
    assert "does not know" in gone.state["failure"]["Cause"]
    stopped = end_of(record, EndedExecution('{"models": ["a"]}', "mine", "why", status="ABORTED"), NOW)
    assert stopped is not None
    assert stopped.state == {
        "request": {"models": ["a"]},
        "failure": {"Error": "Fleetscore.ExecutionStopped", "Cause": "mine: why"},
    }


def test_the_schedule_closes_an_execution_whose_closing_event_was_lost(
    opened: Stage, reconcile: Step, workflow: dict[str, str], sagemaker: FakeSageMaker
) -> None:
    name = opened.job().sagemaker_job_name
    sagemaker.add(name)
    assert reconcile(SCHEDULED) == {
        "executions_closed": 0,
        "jobs_stopped": 0,
        "leases_released": 0,
        **NO_DEADLINES,
        "unfinished": False,
    }
    assert opened.execution().status is ExecutionStatus.RUNNING
    workflow["e-1"] = "ABORTED"
    assert reconcile(SCHEDULED) == {
        "executions_closed": 1,
        "jobs_stopped": 1,
        "leases_released": 0,
        **NO_DEADLINES,
        "unfinished": False,
    }
    assert (opened.execution().status, opened.job().failure_kind) == (ExecutionStatus.FAILED, FailureKind.STOPPED)
    assert sagemaker.stopped == [name]
    assert reconcile(SCHEDULED) == {
        "executions_closed": 0,
        "jobs_stopped": 0,
        "leases_released": 1,
        **NO_DEADLINES,
        "unfinished": False,
    }
    assert list(opened.deployment.pools.leases()) == []


def test_a_job_that_starts_for_an_ended_execution_is_stopped_at_once(
    opened: Stage, reconcile: Step, workflow: dict[str, str], sagemaker: FakeSageMaker
) -> None:
    name = opened.job().sagemaker_job_name
    sagemaker.add(name)
    assert reconcile(job_change(name, "InProgress"))["jobs_stopped"] == 0
    workflow["e-1"] = "ABORTED"
    reconcile(SCHEDULED)
    sagemaker.add("test-late-1")
    assert reconcile(job_change("test-late-1", "InProgress"))["jobs_stopped"] == 1
    assert sagemaker.stopped == [name, "test-late-1"]


@pytest.mark.parametrize("opens", [True, False])
def test_instances_of_a_child_that_ended_without_a_trace_are_released(
    planned: Stage, reconcile: Step, workflow: dict[str, str], sagemaker: FakeSageMaker, *, opens: bool
) -> None:
    """No failure of the job could be recorded, and the execution runs on with its other jobs."""
    pools, child = planned.deployment.pools, "arn:aws:states:::execution:machine/RunJobs:child"
    lease = Lease("test-lost-1", JobKind.PROCESSING, "ml.m5.large", 1, "e-1", "delays-ua", 1, "", child)
    state = pools.lease_state(lease.sagemaker_job_name, (lease.kind, lease.instance_type))
    assert pools.acquire(Ask(lease, 5, 0, 60), 1, planned.job(), state) == Admitted(lease)
    if opens:
        attempt = AttemptRecord(
            "e-1", "delays-ua", 1, AttemptStatus.RUNNING, "test-lost-1", 1, "ml.m5.large", 1, STARTED_AT
        )
        planned.deployment.table.open_attempt(planned.job(), attempt)
    for status in ("", "RUNNING", "PENDING_REDRIVE"):
        workflow["child"] = status
        assert reconcile(SCHEDULED)["leases_released"] == 0
    workflow["child"] = "FAILED"
    sagemaker.add("test-lost-1")
    assert reconcile(SCHEDULED)["leases_released"] == 0, "its job was created, and runs"
    del sagemaker.tags_of["test-lost-1"]
    assert reconcile(SCHEDULED)["leases_released"] == 1
    assert [pool.held for pool in pools.pools()] == [0]


def test_jobs_of_others_are_left_alone(opened: Stage, reconcile: Step, sagemaker: FakeSageMaker) -> None:
    opened.table.put_item(Item=records.execution_item(any_execution(status=ExecutionStatus.FAILED)))
    sagemaker.add("test-theirs-1", stage="other")
    sagemaker.add("test-unknown-1", execution_id="gone")
    sagemaker.add("other-stage-1")
    sagemaker.tags_of["test-doctor"] = {"fleetscore:stage": "test"}
    reconcile(SCHEDULED)
    for name in ("test-theirs-1", "test-unknown-1", "test-doctor"):
        reconcile(job_change(name, "InProgress"))
    assert sagemaker.stopped == []


def test_the_stop_of_a_job_closes_its_execution_only_if_that_has_ended(
    opened: Stage, reconcile: Step, workflow: dict[str, str], sagemaker: FakeSageMaker
) -> None:
    name = opened.job().sagemaker_job_name
    sagemaker.add(name)
    reconcile(job_change(name, "Stopped"))
    assert opened.execution().status is ExecutionStatus.RUNNING
    workflow["e-1"] = "TIMED_OUT"
    reconcile(job_change(name, "Stopped"))
    assert "reached its time limit" in opened.execution().reason


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::3])
def test_doubled_late_and_shuffled_events_give_the_same_records(
    opened: Stage, reconcile: Step, workflow: dict[str, str], sagemaker: FakeSageMaker, order: tuple[int, ...]
) -> None:
    name = opened.job().sagemaker_job_name
    sagemaker.add(name)
    workflow["e-1"] = "ABORTED"
    events = [status_change("ABORTED"), job_change(name, "InProgress"), job_change(name, "Stopped"), SCHEDULED]
    for index in order:
        reconcile(events[index])
    closed = opened.execution(), opened.job(), opened.attempt()
    assert closed[0].status is ExecutionStatus.FAILED
    for index in (*order, *order):
        reconcile(events[index])
    assert (opened.execution(), opened.job(), opened.attempt()) == closed
    assert sagemaker.stopped == [name]


def test_an_execution_that_cannot_be_closed_does_not_keep_others_open(
    opened: Stage, reconcile: Step, workflow: dict[str, str], sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.deployment.table.open_execution(any_execution("broken", started_at="2026-01-05T09:00:00.000Z"))
    workflow |= {"e-1": "FAILED", "broken": "FAILED"}
    with monkeypatch.context() as patch:
        read = ExecutionReader.read

        def fail_for_one(self: ExecutionReader, arn: str) -> EndedExecution:
            if arn.endswith("broken"):
                raise ConnectionError("no answer")
            return read(self, arn)

        patch.setattr(ExecutionReader, "read", fail_for_one)
        with pytest.raises(ReconciliationError, match="1 executions could not be closed: broken"):
            reconcile(SCHEDULED)
    assert opened.execution().status is ExecutionStatus.FAILED
    assert reconcile(SCHEDULED)["executions_closed"] == 1
    assert opened.execution("broken").status is ExecutionStatus.FAILED


def test_an_unreadable_record_does_not_keep_others_open(
    opened: Stage, reconcile: Step, workflow: dict[str, str], sagemaker: FakeSageMaker
) -> None:
    opened.deployment.table.open_execution(any_execution("newer-release", started_at="2026-01-05T09:00:00.000Z"))
    opened.table.update_item(
        Key=records.execution_key("newer-release"),
        UpdateExpression="SET field_of_tomorrow = :value",
        ExpressionAttributeValues={":value": "x"},
    )
    workflow["e-1"] = "FAILED"
    sagemaker.add("test-left-over")
    with pytest.raises(ReconciliationError, match="could not be closed: newer-release"):
        reconcile(SCHEDULED)
    assert opened.execution().status is ExecutionStatus.FAILED
    assert sagemaker.stopped == ["test-left-over"]


@pytest.fixture
def scored(opened: Stage, verify: Step, sagemaker: FakeSageMaker) -> Stage:
    """Return a stage with an execution whose only job has succeeded."""
    opened.commit()
    verify(pointer_event())
    return opened


def test_the_schedule_moves_pointers_that_could_not_be_moved_at_the_end(
    scored: Stage, summarize: Step, reconcile: Step, workflow: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:

    def denied(store: ObjectStore, key: str, body: bytes, etag: str) -> bool:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")

    key = layout.latest_key("flights", "delays-ua")
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "replace_result", denied)
        with pytest.raises(ClientError):
            summarize(summary_event({}))
        workflow["e-1"] = "FAILED"
        with pytest.raises(ReconciliationError, match="e-1"):
            reconcile(SCHEDULED)
    assert (scored.execution().status, scored.execution().closing_pending) == (ExecutionStatus.SUCCEEDED, True)
    assert key not in scored.result_keys()

    assert reconcile(SCHEDULED)["executions_closed"] == 1
    assert key in scored.result_keys()
    assert not scored.execution().closing_pending
    assert scored.execution().status is ExecutionStatus.SUCCEEDED
    assert reconcile(SCHEDULED)["executions_closed"] == 0


def test_the_schedule_tells_a_waiting_task_that_could_not_be_told_at_the_end(
    stage: Stage, summarize: Step, reconcile: Step, workflow: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    throttled = ClientError({"Error": {"Code": "ThrottlingException"}}, "SendTaskFailure")

    class StepFunctions:
        def send_task_failure(self, *, taskToken: str, error: str, cause: str) -> None:  # noqa: N803
            if not told:
                told.append("")
                raise throttled
            told.append(f"{taskToken} {error} {cause}")

    monkeypatch.setattr(resources().task_tokens, "_stepfunctions", StepFunctions())
    stage.deployment.table.open_execution(any_execution(request_json='{"models": ["a"], "task_token": "AAAA"}'))
    summarize(summary_event({"request": {"models": ["a"], "task_token": "AAAA"}}))
    assert stage.execution().status is ExecutionStatus.FAILED
    assert stage.execution().closing_pending, "nobody was told"

    workflow["e-1"] = "FAILED"
    assert reconcile(SCHEDULED)["executions_closed"] == 1
    assert [text.split()[:2] for text in told[1:]] == [["AAAA", "Fleetscore.Failed"]]
    assert not stage.execution().closing_pending
    assert reconcile(SCHEDULED)["executions_closed"] == 0


def test_jobs_that_a_plan_wrote_after_the_end_are_closed(
    stage: Stage, reconcile: Step, workflow: dict[str, str], sagemaker: FakeSageMaker
) -> None:
    table = stage.deployment.table
    table.open_execution(any_execution())
    workflow["e-1"] = "ABORTED"
    reconcile(status_change("ABORTED"))
    # The function of the plan was ended after it had written its jobs.
    table.add_jobs([any_job()])
    reconcile(SCHEDULED)
    job = stage.job()
    assert (job.status, job.failure_kind) == (JobStatus.FAILED, FailureKind.STOPPED)
    assert "ended while it was being planned" in job.reason


def test_a_search_begins_at_the_oldest_execution_that_runs(stage: Stage) -> None:
    searches = resources().open_executions
    for number in (1, 2, 3):
        started_at = f"2026-01-0{number}T10:00:00.000Z"
        stage.deployment.table.open_execution(any_execution(f"e-{number}", started_at=started_at))
    assert [record.execution_id for record in searches.find()] == ["e-1", "e-2", "e-3"]
    searches.remember("2026-01-02T10:00:00.000Z", datetime(2026, 1, 9, tzinfo=UTC))
    assert [record.execution_id for record in searches.find()] == ["e-2", "e-3"]
    searches.remember("", datetime(2026, 1, 4, 0, tzinfo=UTC))
    assert [record.execution_id for record in searches.find()] == ["e-3"], "a day of margin"
