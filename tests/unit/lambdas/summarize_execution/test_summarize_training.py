from contract import codec, layout
from contract.status import ExecutionKind, ExecutionStatus, JobStatus
from contract.table import records
from contract.workflow.messages import ExecutionPlan, SummaryInput
from tests.unit.lambdas.builders import STARTED_AT, Stage, any_execution, any_job, pointer_event, summary_event
from tests.unit.lambdas.conftest import Step
from tests.unit.lambdas.training_builders import put_current, put_trainable, train, training_arn, training_event

REFUSED = {"request": {}, "failure": {"Error": "InvalidRequestError", "Cause": '{"errorMessage": "no recipe"}'}}


def training_summary_event(state: object) -> dict[str, object]:
    return codec.to_json(SummaryInput("t-1", training_arn(), STARTED_AT, state))


def test_an_unplanned_training_is_recorded_as_training(stage: Stage, summarize: Step) -> None:
    outcome = summarize(training_summary_event(REFUSED))
    assert outcome["status"] == "FAILED"
    assert outcome["cause"].startswith("Nothing was trained. The plan failed: InvalidRequestError: no recipe")
    assert stage.execution("t-1").kind is ExecutionKind.TRAINING


def test_a_version_rejected_by_its_rule_is_a_successful_job(
    stage: Stage, plan_training: Step, record: Step, register: Step, summarize: Step
) -> None:
    put_trainable(stage)
    put_current(stage, metrics={"auc": 0.9})
    plan = plan_training(training_event({}))
    pointer = pointer_event(execution_id="t-1")
    record(pointer)
    train(stage)
    register(pointer)
    assert summarize(training_summary_event(plan))["status"] == "SUCCEEDED"
    summary = stage.read_json(layout.summary_key("t-1"))
    [job] = summary["jobs"]
    assert (summary["kind"], job["predictions_uris"], job["rows_in"]) == ("training", [], 100)
    assert "was rejected" in job["outcome"]
    assert "0.81 < current 0.9" in job["outcome"]


def test_a_failed_training_makes_the_execution_partly_failed(stage: Stage, summarize: Step) -> None:
    job = any_job(status=JobStatus.SUCCEEDED)
    stage.table.put_item(Item=records.job_item(job))
    plan = ExecutionPlan("e-1", stage.results, layout.jobs_key("e-1"), 1, 10, 100.0)
    failure = "DATA: label is null"
    record = any_execution(plan=plan, training_execution_id="e-1-training-0", training_failure=failure)
    stage.table.put_item(Item=records.execution_item(record))
    outcome = summarize(summary_event({}))
    assert outcome["status"] == ExecutionStatus.PARTLY_FAILED
    assert "e-1-training-0 did not succeed" in outcome["cause"]
    assert "DATA: label is null" in outcome["cause"]
