"""Inline and distributed Map states."""

import json
import time
from typing import Any

import pytest

from tests.unit.embedded.step_functions.machines import Workflows, distributed, one_state

CHOOSE: dict[str, Any] = {
    "StartAt": "Choose",
    "States": {
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.fails", "BooleanEquals": True, "Next": "Broken"}],
            "Default": "Fine",
        },
        "Broken": {"Type": "Fail", "Error": "Broken", "Cause": "It was to fail"},
        "Fine": {"Type": "Pass", "End": True},
    },
}
"""Fails for items whose "fails" is true."""
ECHO: dict[str, Any] = one_state({"Type": "Pass", "End": True})


def items(count: int, failing: int) -> list[dict[str, Any]]:
    return [{"n": n, "fails": n < failing} for n in range(count)]


def test_an_inline_map_returns_its_results_in_order(workflows: Workflows) -> None:
    state = {
        "Type": "Map", "End": True, "ItemProcessor": ECHO, "ItemsPath": "$.items",
        "ItemSelector": {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "all.$": "$.name"},
    }  # fmt: skip
    result = workflows.run(one_state(state, "Each"), {"items": ["a", "b"], "name": "N"})

    assert json.loads(result["output"]) == [{"i": 0, "v": "a", "all": "N"}, {"i": 1, "v": "b", "all": "N"}]


def test_children_are_separate_executions(workflows: Workflows) -> None:
    state = {"Type": "Pass", "Parameters": {"id.$": "$$.Execution.Id", "in.$": "$$.Execution.Input"}, "End": True}
    selector = {"n.$": "$$.Map.Item.Value"}
    arn = workflows.start(distributed(one_state(state), Label="Fan", ItemSelector=selector), [5, 6])
    result = workflows.ended(arn)

    outputs = json.loads(result["output"])
    assert [output["in"] for output in outputs] == [{"n": 5}, {"n": 6}]
    children = workflows.children(arn)
    assert {child["executionArn"] for child in children} == {output["id"] for output in outputs}
    assert all("/Fan:" in child["executionArn"] for child in children)
    assert len({child["name"] for child in children}) == 2
    first = workflows.history(children[0]["executionArn"])
    assert [event["type"] for event in first] == [
        "ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded",
    ]  # fmt: skip
    counts = workflows.map_run(arn)["itemCounts"]
    assert (counts["total"], counts["succeeded"], counts["running"], counts["pending"]) == (2, 2, 0, 0)


def test_items_are_read_from_s3(workflows: Workflows) -> None:
    body = json.dumps({"jobs": [{"n": 1}, {"n": 2}]})
    workflows.aws.endpoint.client("s3").put_object(Bucket=workflows.bucket, Key="jobs.json", Body=body)
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON", "ItemsPointer": "/jobs"},
        "Parameters": {"Bucket.$": "$.bucket", "Key": "jobs.json"},
    }
    result = workflows.run(distributed(ECHO, ItemReader=reader), {"bucket": workflows.bucket})

    assert json.loads(result["output"]) == [{"n": 1}, {"n": 2}]


def test_a_missing_item_source_fails_the_map(workflows: Workflows) -> None:
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "Parameters": {"Bucket": workflows.bucket, "Key": "missing.json"},
    }
    result = workflows.run(distributed(ECHO, ItemReader=reader))

    assert (result["status"], result["error"]) == ("FAILED", "States.ItemReaderFailed")


@pytest.mark.parametrize(
    ("fields", "failing", "succeeds"),
    [
        ({}, 0, True),
        ({}, 1, False),
        ({"ToleratedFailurePercentage": 30}, 3, True),
        ({"ToleratedFailurePercentage": 30}, 4, False),
        ({"ToleratedFailurePercentage": 100}, 10, True),
        ({"ToleratedFailureCount": 2}, 2, True),
        ({"ToleratedFailureCount": 2}, 3, False),
        ({"ToleratedFailureCount": 1, "ToleratedFailurePercentage": 90}, 2, False),
        ({"ToleratedFailurePercentagePath": "$.limits.percentage"}, 4, True),
        ({"ToleratedFailurePercentagePath": "$.limits.percentage"}, 5, False),
        ({"ToleratedFailureCountPath": "$.limits.count"}, 1, True),
        ({"ToleratedFailureCountPath": "$.limits.count"}, 2, False),
    ],
)
def test_failures_are_tolerated_up_to_the_threshold(
    workflows: Workflows, fields: dict[str, Any], failing: int, *, succeeds: bool
) -> None:
    data = {"items": items(10, failing), "limits": {"percentage": 40, "count": 1}}
    arn = workflows.start(distributed(CHOOSE, ItemsPath="$.items", MaxConcurrency=1, **fields), data)
    result = workflows.ended(arn)

    if succeeds:
        assert result["status"] == "SUCCEEDED", result
        assert workflows.map_run(arn)["itemCounts"]["failed"] == failing
    else:
        assert result["error"] == "States.ExceedToleratedFailureThreshold"
        assert workflows.map_run(arn)["status"] == "FAILED"


def test_the_result_describes_a_tolerated_failure(workflows: Workflows) -> None:
    arn = workflows.start(distributed(CHOOSE, ToleratedFailureCount=1), items(2, 1))
    failed, passed = json.loads(workflows.ended(arn)["output"])

    assert (failed["Status"], failed["Error"], failed["Cause"]) == ("FAILED", "Broken", "It was to fail")
    assert json.loads(failed["Input"]) == {"n": 0, "fails": True}
    assert passed == {"n": 1, "fails": False}


def test_exceeding_the_threshold_stops_running_children(workflows: Workflows) -> None:
    key = f"never-{time.time_ns()}"
    states = {**CHOOSE["States"], "Fine": workflows.invoke()}
    data = [{"fails": False, "wait_for": key}, {"fails": True}, {"fails": False, "wait_for": key}]
    arn = workflows.start(distributed({"StartAt": "Choose", "States": states}, MaxConcurrency=2), data)
    try:
        assert workflows.ended(arn)["error"] == "States.ExceedToleratedFailureThreshold"
        counts = workflows.map_run(arn)["itemCounts"]
        assert (counts["failed"], counts["aborted"], counts["pending"]) == (1, 1, 1)
        assert sorted(child["status"] for child in workflows.children(arn)) == ["ABORTED", "FAILED"]
    finally:
        workflows.release(key)


def test_stopping_the_parent_stops_its_children(workflows: Workflows) -> None:
    key = f"never-{time.time_ns()}"
    arn = workflows.start(distributed(one_state(workflows.invoke())), [{"wait_for": key}] * 2)
    try:
        workflows.wait(lambda: workflows.event_types(arn), lambda seen: "MapRunStarted" in seen)
        workflows.wait(lambda: workflows.children(arn), lambda seen: len(seen) == 2)
        workflows.client.stop_execution(executionArn=arn)
        workflows.wait(lambda: workflows.map_run(arn), lambda run: run["status"] == "ABORTED")
        assert {child["status"] for child in workflows.children(arn)} == {"ABORTED"}
        workflows.wait(lambda: workflows.event_types(arn), lambda seen: "MapRunAborted" in seen)
    finally:
        workflows.release(key)


def test_a_stopped_child_counts_as_failed(workflows: Workflows) -> None:
    key = f"never-{time.time_ns()}"
    held = {"Variable": "$.wait_for", "IsPresent": True, "Next": "Hold"}
    states = {
        "Choose": {"Type": "Choice", "Choices": [held], "Default": "Done"},
        "Hold": workflows.invoke(),
        "Done": {"Type": "Succeed"},
    }
    processor = {"StartAt": "Choose", "States": states}
    arn = workflows.start(distributed(processor, ToleratedFailureCount=1), [{"wait_for": key}, {"a": 1}])
    try:
        workflows.wait(lambda: workflows.event_types(arn), lambda seen: "MapRunStarted" in seen)
        running = workflows.wait(
            lambda: [child for child in workflows.children(arn) if child["status"] == "RUNNING"],
            lambda seen: len(seen) == 1,
        )
        workflows.client.stop_execution(executionArn=running[0]["executionArn"])
        assert workflows.ended(arn)["status"] == "SUCCEEDED"
        assert workflows.map_run(arn)["itemCounts"]["aborted"] == 1
    finally:
        workflows.release(key)


def test_max_concurrency_limits_the_running_children(workflows: Workflows) -> None:
    key = f"gate-{time.time_ns()}"
    data = {"items": [{"wait_for": key}] * 5, "most": 2}
    machine = distributed(one_state(workflows.invoke()), ItemsPath="$.items", MaxConcurrencyPath="$.most")
    arn = workflows.start(machine, data)
    workflows.wait(lambda: workflows.event_types(arn), lambda seen: "MapRunStarted" in seen)
    workflows.wait(lambda: workflows.map_run(arn)["itemCounts"], lambda counts: counts["running"] == 2)
    assert workflows.map_run(arn)["maxConcurrency"] == 2
    assert len(workflows.children(arn)) == 2
    workflows.release(key)
    assert workflows.ended(arn)["status"] == "SUCCEEDED"


def test_update_map_run_raises_the_concurrency(workflows: Workflows) -> None:
    key = f"gate-{time.time_ns()}"
    arn = workflows.start(distributed(one_state(workflows.invoke()), MaxConcurrency=1), [{"wait_for": key}] * 3)
    workflows.wait(lambda: workflows.event_types(arn), lambda seen: "MapRunStarted" in seen)
    workflows.client.update_map_run(mapRunArn=workflows.map_run(arn)["mapRunArn"], maxConcurrency=3)
    workflows.wait(lambda: workflows.map_run(arn)["itemCounts"], lambda counts: counts["running"] == 3)
    workflows.release(key)
    assert workflows.ended(arn)["status"] == "SUCCEEDED"


def test_a_map_result_over_256_kib_fails(workflows: Workflows) -> None:
    state = {"Type": "Pass", "Result": "x" * 70_000, "End": True}
    result = workflows.run(distributed(one_state(state), MaxConcurrency=4, ResultPath="$.results"), [1, 2, 3, 4])

    assert (result["status"], result["error"]) == ("FAILED", "States.DataLimitExceeded")


def test_children_can_trim_the_result_of_a_map(workflows: Workflows) -> None:
    processor = {
        "StartAt": "Big",
        "States": {
            "Big": {"Type": "Pass", "Result": "x" * 70_000, "Next": "Trim"},
            "Trim": {"Type": "Pass", "Result": 1, "End": True},
        },
    }
    assert workflows.run(distributed(processor), [1, 2, 3, 4])["output"] == "[1,1,1,1]"


def test_a_map_without_items_succeeds(workflows: Workflows) -> None:
    assert workflows.run(distributed(ECHO, ToleratedFailurePercentage=0), [])["output"] == "[]"


@pytest.mark.parametrize(
    ("config", "body", "expected"),
    [
        ({"InputType": "JSONL"}, '{"n": 1}\n{"n": 2}\n', [{"n": 1}, {"n": 2}]),
        (
            {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"},
            "n,m\n1,a\n2,b\n",
            [{"n": "1", "m": "a"}, {"n": "2", "m": "b"}],
        ),
        ({"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["n"]}, "1\n2\n", [{"n": "1"}, {"n": "2"}]),
        ({"InputType": "JSON", "MaxItems": 1}, "[1, 2]", [1]),
    ],
)
def test_item_sources_have_several_formats(
    workflows: Workflows, config: dict[str, Any], body: str, expected: list[Any]
) -> None:
    workflows.aws.endpoint.client("s3").put_object(Bucket=workflows.bucket, Key="items", Body=body.encode())
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": config,
        "Parameters": {"Bucket": workflows.bucket, "Key": "items"},
    }
    assert json.loads(workflows.run(distributed(ECHO, ItemReader=reader))["output"]) == expected


def test_the_items_are_the_objects_of_a_prefix(workflows: Workflows) -> None:
    for name in ("listed/a", "listed/b"):
        workflows.aws.endpoint.client("s3").put_object(Bucket=workflows.bucket, Key=name, Body=b"x")
    reader = {
        "Resource": "arn:aws:states:::s3:listObjectsV2",
        "Parameters": {"Bucket": workflows.bucket, "Prefix": "listed/"},
    }
    output = json.loads(workflows.run(distributed(ECHO, ItemReader=reader))["output"])
    assert [item["Key"] for item in output] == ["listed/a", "listed/b"]
