import pytest

from contract import codec
from contract.status import AttemptStatus, FailureKind
from contract.training.recipes import TrainingCompute
from contract.workflow.messages import FailureDecision, TrainingAttemptPlan
from tests.unit.lambdas.builders import Stage, pointer_event
from tests.unit.lambdas.conftest import Step
from tests.unit.lambdas.training_builders import FLIGHTS, any_recipe, put_trainable, training_event

FOLDER = "s3://results-test/executions/t-1/jobs/delays-ua"


def opened(stage: Stage, plan_training: Step, record: Step, compute: TrainingCompute) -> TrainingAttemptPlan:
    put_trainable(stage, any_recipe(compute=compute, validation_dataset="flights-to-judge"))
    stage.upload_table(FLIGHTS, "flights-to-judge")
    plan_training(training_event({}))
    return codec.from_json(TrainingAttemptPlan, record(pointer_event(execution_id="t-1")))


def test_an_attempt_plan_has_everything_a_training_job_needs(stage: Stage, plan_training: Step, record: Step) -> None:
    plan = opened(stage, plan_training, record, TrainingCompute())
    channels = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"] for channel in plan.channels}
    assert {name: source["S3Uri"] for name, source in channels.items()} == {
        "spec": f"{FOLDER}/spec/",
        "train": f"{FOLDER}/train.manifest",
        "validation": f"{FOLDER}/validation.manifest",
    }
    assert channels["spec"]["S3DataType"] == "S3Prefix"
    assert channels["train"]["S3DataType"] == "ManifestFile"
    assert (plan.output_uri, plan.checkpoints_uri) == (f"{FOLDER}/training", f"{FOLDER}/checkpoints")
    assert (plan.spot, plan.stopping_condition, plan.longest_seconds) == (False, {"MaxRuntimeInSeconds": 3_600}, 3_600)
    attempt = stage.attempt(execution_id="t-1")
    assert (attempt.status, attempt.sagemaker_job_name) == (AttemptStatus.RUNNING, plan.training_job_name)
    assert record(pointer_event(execution_id="t-1")) == codec.to_json(plan), "a second call returns the same plan"


@pytest.mark.parametrize(("wait", "expected"), [(None, 7_200), (5_000, 5_000)])
def test_only_spot_jobs_have_a_longest_wait_for_capacity(
    stage: Stage, plan_training: Step, record: Step, wait: int | None, expected: int
) -> None:
    plan = opened(stage, plan_training, record, TrainingCompute(spot=True, max_wait_seconds=wait))
    assert plan.spot is True
    assert plan.stopping_condition == {"MaxRuntimeInSeconds": 3_600, "MaxWaitTimeInSeconds": expected}
    assert plan.longest_seconds == expected


def test_a_retry_has_a_new_job_name_and_the_same_checkpoints(
    stage: Stage, plan_training: Step, record: Step, classify: Step
) -> None:
    first = opened(stage, plan_training, record, TrainingCompute())
    failure = {
        "Error": "States.TaskFailed",
        "Cause": '{"TrainingJobStatus": "Failed", "FailureReason": "TRANSIENT: x"}',
    }
    event = {**pointer_event(execution_id="t-1"), "failure": failure}
    decision = codec.from_json(FailureDecision, classify(event))
    assert (decision.try_again, decision.kind) == (True, FailureKind.TRANSIENT)
    second = codec.from_json(TrainingAttemptPlan, record(pointer_event(execution_id="t-1", attempt=2)))
    assert second.training_job_name != first.training_job_name
    assert second.checkpoints_uri == first.checkpoints_uri


@pytest.mark.parametrize("checkpointed", [True, False])
def test_a_timeout_is_retried_only_after_a_checkpoint(
    stage: Stage, plan_training: Step, record: Step, classify: Step, checkpointed: bool
) -> None:
    opened(stage, plan_training, record, TrainingCompute())
    if checkpointed:
        stage.s3.put_object(Bucket=stage.results, Key="executions/t-1/jobs/delays-ua/checkpoints/10.ubj", Body=b"c")
    cause = '{"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}'
    failure = {"Error": "States.TaskFailed", "Cause": cause}
    decision = codec.from_json(FailureDecision, classify({**pointer_event(execution_id="t-1"), "failure": failure}))
    assert decision.try_again is checkpointed
    assert "/aws/sagemaker/TrainingJobs" in decision.reason
    assert ("no checkpoint was written" in decision.reason) is not checkpointed


@pytest.mark.parametrize("key", ["10.ubj", "20.ubj", None])
def test_a_checkpoint_of_an_earlier_attempt_is_no_progress(
    stage: Stage, plan_training: Step, record: Step, classify: Step, key: str | None
) -> None:
    """The later attempt has written the same checkpoint again with other content, a new one, or none."""
    opened(stage, plan_training, record, TrainingCompute())
    folder = "executions/t-1/jobs/delays-ua/checkpoints/"
    stage.s3.put_object(Bucket=stage.results, Key=f"{folder}10.ubj", Body=b"first")
    cause = '{"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}'
    failure = {"failure": {"Error": "States.TaskFailed", "Cause": cause}}
    assert classify({**pointer_event(execution_id="t-1"), **failure})["try_again"] is True
    record(pointer_event(execution_id="t-1", attempt=2))
    if key is not None:
        stage.s3.put_object(Bucket=stage.results, Key=folder + key, Body=b"second")
    decision = classify({**pointer_event(execution_id="t-1", attempt=2), **failure})
    assert decision["try_again"] is (key is not None)
