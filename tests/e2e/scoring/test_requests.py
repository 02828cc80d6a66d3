"""An invalid request is refused as a whole, with every problem, before anything is created."""

import json

import pytest

from cli.failures import CommandError
from contract import layout
from contract.status import ExecutionStatus
from tests.e2e.stage import Stage, people, train_xgboost, wait_for


@pytest.fixture(scope="module")
def catalog(stage: Stage) -> None:
    stage.put_dataset("mixed", {"a.parquet": people(5, 1), "b.xlsx": b"PK\x03\x04", "_SUCCESS": b""})
    model = train_xgboost(1)
    datasets = {"retired": "mixed", "dry": "nothing-here", "mixed": "mixed", "no-artifact": "mixed"}
    for model_id, dataset in datasets.items():
        stage.register(model_id, model, dataset=dataset, version="1")
    stage.catalog.set_enabled("retired", enabled=False)
    stage.client("s3").delete_object(Bucket=stage.deployment.models_bucket, Key=layout.artifact_key("no-artifact", "1"))


def test_an_ill_formed_request_is_refused_with_every_problem(stage: Stage) -> None:
    snapshot = stage.start_unchecked('{"modles": ["a"], "max_concurrency": "3", "instance_type": "big"}', "bad-form")
    assert snapshot.status == ExecutionStatus.FAILED
    assert snapshot.record is not None
    for part in ("modles", "max_concurrency", "'3'", "a whole number", "instance_type", "'big'", "ml.m5.xlarge"):
        assert part in snapshot.record.reason
        assert part in snapshot.workflow.cause  # type: ignore[union-attr]
    assert stage.summary("bad-form").reason == snapshot.record.reason


def test_a_request_that_cannot_be_planned_is_refused_with_every_problem(stage: Stage, catalog: None) -> None:
    request = '{"models": ["retierd", "retired", "dry", "mixed", "no-artifact"]}'
    snapshot = stage.start_unchecked(request, "bad-content")
    assert snapshot.status == ExecutionStatus.FAILED
    reason = snapshot.reason
    assert "'retierd'" in reason
    assert "'retired'" in reason
    assert "nothing-here" in reason
    assert "b.xlsx" in reason
    assert "_SUCCESS" not in reason
    assert "'no-artifact'" in reason


def test_a_refused_execution_creates_only_its_record_and_summary(stage: Stage, catalog: None) -> None:
    snapshot = stage.start_unchecked('{"models": ["dry"]}', "creates-nothing")
    assert snapshot.jobs == ()
    assert stage.result_keys(layout.execution_prefix("creates-nothing")) == [layout.summary_key("creates-nothing")]


@pytest.mark.parametrize("text", ["[]", "3", '"all"', "null"])
def test_an_input_that_is_not_a_json_object_is_refused(stage: Stage, text: str) -> None:
    snapshot = stage.start_unchecked(text, f"no-object-{len(text)}")
    assert snapshot.status == ExecutionStatus.FAILED
    assert "a JSON object such as {}" in snapshot.reason


def test_a_name_that_records_know_is_used_in_both_workflows(stage: Stage) -> None:
    """Step Functions itself would take the name: for its other workflow, or after 90 days."""
    first = stage.start_unchecked('{"models": ["no-such-model"]}', "named-twice")
    with pytest.raises(CommandError, match=r"already a scoring execution 'named-twice'.*Nothing was started"):
        stage.executions.start_training("{}", "named-twice")
    workflows = stage.client("stepfunctions")
    arn = workflows.start_execution(
        stateMachineArn=stage.deployment.training_state_machine_arn, name="named-twice", input="{}"
    )["executionArn"]
    wait_for(lambda: workflows.describe_execution(executionArn=arn)["status"] == "FAILED", "its refusal")
    assert "Start the execution again with another name" in workflows.describe_execution(executionArn=arn)["cause"]
    assert stage.executions.snapshot("named-twice").record == first.record


@pytest.mark.parametrize("size", [230_000, 262_144])
def test_a_request_that_is_too_large_ends_with_its_size_as_the_reason(stage: Stage, size: int) -> None:
    """The largest input of an execution does not even fit into the first state together with its field's name."""
    text = json.dumps({"models": ["x" * (size - len('{"models": [""]}'))]})
    assert len(text) == size
    snapshot = stage.start_unchecked(text, f"too-large-{size}")
    assert snapshot.status == ExecutionStatus.FAILED
    record = wait_for(
        lambda: (found := stage.executions.snapshot(f"too-large-{size}").record) and found.reason and found,
        "its record",
    )
    # Step Functions counts without the space.
    assert f"size: got '{size - 1:,} bytes', expected at most 225,000 bytes" in record.reason
    assert '{"models": {"tags": {…}}}' in record.reason


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("half-a-character", '{"models": ["\\ud800"]}', r"'\ud800'"),
        ("longer-when-escaped", '{"models": ["' + "\x85" * 100_000 + '"]}', "models[0]"),
    ],
)
def test_a_request_that_is_hard_to_record_is_refused_and_recorded(
    stage: Stage, name: str, text: str, shown: str
) -> None:
    snapshot = stage.start_unchecked(text, name)
    assert snapshot.status == ExecutionStatus.FAILED
    assert snapshot.record is not None
    assert shown in snapshot.record.reason
    assert stage.summary(name).reason == snapshot.record.reason
