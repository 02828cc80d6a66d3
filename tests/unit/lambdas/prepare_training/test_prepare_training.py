"""A training that a scoring request asks for: its input, and how its end affects the plan."""

import json
from typing import Any

import pytest

from contract import codec, layout, training_layout
from contract.status import ExecutionKind, ExecutionStatus, JobStatus
from contract.table import records
from contract.workflow.messages import ExecutionPlan, TrainingStart
from contract.workflow.scoring_request import ExecutionRequest, TrainFirst
from lambdas.errors import InvalidRequestError, TrainingFailedError
from lambdas.planning.recipe_choice import check_training_input
from lambdas.prepare_training.prepare import form_input
from tests.unit.lambdas.builders import (
    STARTED_AT,
    Stage,
    any_execution,
    any_job,
    execution_arn,
    plan_event,
    summary_event,
)
from tests.unit.lambdas.conftest import Step
from tests.unit.lambdas.training_builders import any_recipe, plan_after_training, put_recipe, training_arn

TRAINING = training_layout.training_execution_name(execution_arn("e-1"), STARTED_AT)
FAILED = {
    "Error": "States.TaskFailed",
    "Cause": json.dumps({"ExecutionArn": "x", "Status": "FAILED", "Cause": "no quota"}),
}


def prepared(prepare: Step, request: Any, execution_id: str = "e-1") -> TrainingStart:
    return codec.from_json(TrainingStart, prepare(plan_event(request, execution_id)))


def test_only_requested_models_with_a_recipe_are_trained(stage: Stage, prepare_training: Step) -> None:
    put_recipe(stage, any_recipe())
    found = prepared(prepare_training, {"models": ["by-hand", "delays-ua"], "train": {}, "execution_label": "nightly"})
    assert found == TrainingStart(TRAINING, {"models": ["delays-ua"], "execution_label": "nightly"})
    record = stage.execution()
    assert (record.kind, record.training_execution_id, record.plan) == (ExecutionKind.SCORING, TRAINING, None)
    assert (
        prepared(prepare_training, {"models": ["by-hand", "delays-ua"], "train": {}, "execution_label": "nightly"})
        == found
    )


def test_tags_match_models_and_recipes_without_a_model(stage: Stage, prepare_training: Step) -> None:
    put_recipe(stage, any_recipe())
    put_recipe(stage, any_recipe("other", tags={"team": "ads"}))
    put_recipe(stage, any_recipe("retagged"))
    stage.register("retagged", tags={"team": "ads"})
    found = prepared(prepare_training, {"models": {"tags": {"team": "ads"}}, "train": {}})
    assert found.input == {"models": ["other", "retagged"]}


def test_models_of_the_requested_fleets_are_trained(stage: Stage, prepare_training: Step) -> None:
    for model_id, fleet in (("ua", "delays"), ("aa", "delays"), ("dl", "delays"), ("other", "another"), ("alone", "")):
        put_recipe(stage, any_recipe(model_id, fleet=fleet, route=(model_id,) if fleet else ()))
    stage.register("dl", enabled=False)
    found = prepared(prepare_training, {"fleets": ["delays"], "models": ["alone"], "train": {}})
    assert found.input == {"models": ["aa", "alone", "ua"]}
    with pytest.raises(InvalidRequestError, match="train: got 'nobody', expected an enabled model with a recipe"):
        prepare_training(plan_event({"fleets": ["nobody"], "train": {}}, "e-2"))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"train": {}, "max_concurrency": 0}, "max_concurrency"),
        ({"train": {"models": ["by-hand"]}}, r"train\.models\[0\]: got 'by-hand'"),
        ({"train": {"always": True}}, r"train\.always"),
        ({"models": ["by-hand"], "train": {}}, "models recipe set"),
        ({"models": {"tags": {"team": "nobody"}}, "train": {}}, "with a recipe has"),
    ],
)
def test_an_invalid_request_is_refused_before_training(
    stage: Stage, prepare_training: Step, request_: Any, words: str
) -> None:
    put_recipe(stage, any_recipe())
    with pytest.raises(InvalidRequestError, match=words) as raised:
        prepare_training(plan_event(request_))
    assert (stage.execution().status, stage.execution().reason) == (ExecutionStatus.FAILED, raised.value.reason)


def test_more_models_than_fit_into_a_state_are_refused() -> None:
    recipes = [any_recipe(f"model-{number:04d}-{'x' * 45}") for number in range(3_500)]
    [problem] = check_training_input(recipes, {})
    assert str(problem).startswith("train: got '206,503 bytes', expected at most 192,232 bytes as JSON")
    assert "fleetscore train" in str(problem)
    assert check_training_input(recipes[:3_200], {}) == []
    assert check_training_input(recipes[:3_200], {"execution_label": "x" * 5_000}) != [], "the request counts too"
    assert form_input(recipes[:900], ExecutionRequest(), TrainFirst()) == {
        "models": [recipe.model_id for recipe in recipes[:900]]
    }
    assert (
        form_input(recipes[:1], ExecutionRequest(execution_label="nightly", priority=8), TrainFirst()).items()
        >= {"execution_label": "nightly", "priority": 8}.items()
    )
    assert form_input(recipes[:1], ExecutionRequest(), TrainFirst(train_unchanged=True))["train_unchanged"] is True


def write_training_end(
    stage: Stage, status: ExecutionStatus, reason: str = "", *, outcome: str = "version v is current now"
) -> None:
    """Write the records of an ended training execution, like its SummarizeExecution."""
    record = any_execution(
        TRAINING, execution_arn=training_arn(TRAINING), kind=ExecutionKind.TRAINING, status=status, reason=reason
    )
    stage.table.put_item(Item=records.execution_item(record))
    job = any_job(TRAINING, kind=ExecutionKind.TRAINING, status=JobStatus.SUCCEEDED, outcome=outcome)
    stage.table.put_item(Item=records.job_item(job))


def prepare_and_plan(stage: Stage, prepare: Step, plan: Step, train: Any, failure: Any = None) -> ExecutionPlan:
    put_recipe(stage, any_recipe())
    stage.upload()
    event = plan_event({"train": train})
    training = prepare(event)
    if failure is not None:
        training = {**training, "failure": failure}
    return codec.from_json(ExecutionPlan, plan(plan_after_training(event, training)))


def test_the_execution_is_planned_after_a_successful_training(stage: Stage, prepare_training: Step, plan: Step) -> None:
    stage.register()
    write_training_end(stage, ExecutionStatus.SUCCEEDED)
    assert prepare_and_plan(stage, prepare_training, plan, {}).job_count == 1
    assert (stage.execution().training_failure, stage.execution().training_execution_id) == ("", TRAINING)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "never started"])
def test_a_failed_training_fails_the_execution_with_its_reason(
    stage: Stage, prepare_training: Step, plan: Step, recorded: bool
) -> None:
    stage.register()
    if recorded:
        write_training_end(stage, ExecutionStatus.PARTLY_FAILED, "1 of 2 jobs failed: DATA: label is null")
    with pytest.raises(TrainingFailedError, match="label is null" if recorded else "no quota") as raised:
        prepare_and_plan(stage, prepare_training, plan, {}, FAILED)
    assert "continue_on_failure" in str(raised.value)
    assert (stage.execution().status, stage.execution().reason) == (ExecutionStatus.FAILED, str(raised.value))
    with pytest.raises(InvalidRequestError, match="did not succeed"):
        plan(plan_after_training(plan_event({"train": {}}), {"failure": FAILED}))


def test_the_trainings_record_overrides_a_missing_failure(stage: Stage, prepare_training: Step, plan: Step) -> None:
    stage.register()
    write_training_end(stage, ExecutionStatus.RUNNING)
    with pytest.raises(TrainingFailedError, match="RUNNING"):
        prepare_and_plan(stage, prepare_training, plan, {})


def test_continue_on_failure_scores_and_ends_partly_failed(
    stage: Stage, prepare_training: Step, plan: Step, summarize: Step
) -> None:
    stage.register()
    write_training_end(stage, ExecutionStatus.FAILED, "DATA: label is null")
    found = prepare_and_plan(stage, prepare_training, plan, {"continue_on_failure": True}, FAILED)
    job = stage.job()
    stage.table.put_item(Item=records.job_item(any_job(status=JobStatus.SUCCEEDED, created_at=job.created_at)))
    outcome = summarize(summary_event(codec.to_json(found)))
    assert outcome["status"] == "PARTLY_FAILED"
    assert "label is null" in outcome["cause"]
    assert "current versions" in outcome["cause"]
    summary = stage.read_json(layout.summary_key("e-1"))
    assert (summary["training_execution_id"], summary["training_failure"]) == (TRAINING, "DATA: label is null")


def test_a_model_without_a_promoted_version_is_not_scored(stage: Stage, prepare_training: Step, plan: Step) -> None:
    stage.register("another")
    write_training_end(stage, ExecutionStatus.SUCCEEDED, outcome="version v was rejected: auc 0.6 < floor 0.7")
    with pytest.raises(TrainingFailedError, match=r"delays-ua: version v was rejected: auc 0\.6 < floor 0\.7"):
        prepare_and_plan(stage, prepare_training, plan, {})
