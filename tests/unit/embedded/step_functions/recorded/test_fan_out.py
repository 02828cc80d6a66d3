"""Map and Parallel states: events, limits and item readers."""

import json
from typing import Any

import pytest

from tests.unit.embedded.step_functions.recorded.engine import BUCKET, Engine, Scenario, at, one_state, parameters

PASS = {"StartAt": "Inner", "States": {"Inner": {"Type": "Pass", "End": True}}}
FAIL = {"StartAt": "Inner", "States": {"Inner": {"Type": "Fail", "Error": "No", "Cause": "because"}}}
EMPTY_FAIL = {"StartAt": "Inner", "States": {"Inner": {"Type": "Fail"}}}
DISTRIBUTED = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
RETRY = [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 2}]
RUNTIME = "States.Runtime"
READER_FAILED = "States.ItemReaderFailed"
NOT_STARTED = ["ExecutionStarted", "MapStateEntered", "ExecutionFailed"]
WITHOUT_RUN = ["ExecutionStarted", "MapStateEntered", "MapStateStarted", "ExecutionFailed"]
RUN_SUCCEEDED = [
    "ExecutionStarted", "MapStateEntered", "MapStateStarted", "MapRunStarted", "MapRunSucceeded", "MapStateSucceeded",
    "MapStateExited", "ExecutionSucceeded",
]  # fmt: skip
RUN_FAILED = [
    "ExecutionStarted", "MapStateEntered", "MapStateStarted", "MapRunStarted", "MapRunFailed", "MapStateFailed",
    "ExecutionFailed",
]  # fmt: skip


def inline(processor: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return one_state({"Type": "Map", "ItemProcessor": processor, **fields})


def distributed(processor: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return inline({**DISTRIBUTED, **processor}, **fields)


def reading(config: dict[str, Any] | None = None, key: str = "items.json", **fields: Any) -> dict[str, Any]:
    reader = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": BUCKET, "Key": key}}
    return distributed(PASS, ItemReader={**reader, **({"ReaderConfig": config} if config else {})}, **fields)


def limit(field: str, value: Any, text: str, events: list[str] = WITHOUT_RUN) -> Scenario:
    machine = (inline if field == "MaxConcurrency" else distributed)(PASS, ItemsPath="$.i", **{f"{field}Path": "$.x"})
    data = {"i": [0], "x": value}
    return Scenario(
        f"{field}Path {value}", machine, data, status="FAILED", error=RUNTIME, cause=at("S", text), events=events
    )


def wrong(field: str, shown: str, kind: str) -> str:
    return f'The {field}Path field refers to value "{shown}" which is not a valid {kind}: $.x'


INLINE = [
    Scenario(
        "a Map fails after its retries only once", inline(FAIL, Retry=RETRY), [1], error="No", cause="because",
        events=[
            "ExecutionStarted", "MapStateEntered",
            *["MapStateStarted", "MapIterationStarted", "FailStateEntered", "MapIterationFailed"] * 3,
            "MapStateFailed", "ExecutionFailed",
        ],
    ),
    Scenario(
        "a Parallel fails after its retries only once",
        one_state({"Type": "Parallel", "Branches": [FAIL], "Retry": RETRY}), error="No",
        events=[
            "ExecutionStarted", "ParallelStateEntered", *["ParallelStateStarted", "FailStateEntered"] * 3,
            "ParallelStateFailed", "ExecutionFailed",
        ],
    ),
    Scenario(
        "a Fail without error in a Map", inline(EMPTY_FAIL), [1], status="FAILED", error="", cause="",
        events=[
            "ExecutionStarted", "MapStateEntered", "MapStateStarted", "MapIterationStarted", "FailStateEntered",
            "MapIterationFailed", "MapStateFailed", "ExecutionFailed",
        ],
    ),
    Scenario(
        "a caught failure", {
            "StartAt": "S",
            "States": {
                "S": {
                    "Type": "Map", "ItemProcessor": FAIL, "End": True,
                    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
                },
                "Caught": {"Type": "Succeed"},
            },
        }, [1], output={"Error": "No", "Cause": "because"},
        events=[
            "ExecutionStarted", "MapStateEntered", "MapStateStarted", "MapIterationStarted", "FailStateEntered",
            "MapIterationFailed", "MapStateFailed", "MapStateExited", "SucceedStateEntered", "SucceedStateExited",
            "ExecutionSucceeded",
        ],
    ),
]  # fmt: skip
LIMITS = [
    limit("MaxConcurrency", "NoNumber", wrong("MaxConcurrency", "NoNumber", "integer"), NOT_STARTED),
    limit("MaxConcurrency", {}, wrong("MaxConcurrency", "{}", "integer"), NOT_STARTED),
    limit("ToleratedFailureCount", "NoNumber", wrong("ToleratedFailureCount", "NoNumber", "integer")),
    limit("ToleratedFailureCount", {}, wrong("ToleratedFailureCount", "{}", "integer")),
    limit("ToleratedFailureCount", -1, "ToleratedFailureCount cannot be negative."),
    limit("ToleratedFailurePercentage", "NoNumber", wrong("ToleratedFailurePercentage", "NoNumber", "float")),
    limit("ToleratedFailurePercentage", -1.1, "ToleratedFailurePercentage must be between 0 and 100."),
    limit("ToleratedFailurePercentage", 100.1, "ToleratedFailurePercentage must be between 0 and 100."),
    Scenario(
        "more failures than tolerated", distributed(FAIL), [1], status="FAILED",
        error="States.ExceedToleratedFailureThreshold", cause="The specified tolerated failure threshold was exceeded",
        events=RUN_FAILED,
    ),
]  # fmt: skip
READERS = [
    Scenario(
        "items from S3", reading(), output=[{"n": 1}, {"n": 2}, {"n": 3}], events=RUN_SUCCEEDED,
        details={"MapStateStarted": {"length": 0}},
    ),
    Scenario(
        "items of the input", distributed(PASS), [1, 2], output=[1, 2], events=RUN_SUCCEEDED,
        details={"MapStateStarted": {"length": 2}},
    ),
    Scenario(
        "no list", reading(key="object.json"), error=READER_FAILED, cause="Attempting to map over non-iterable node.",
        events=RUN_FAILED,
        details={"MapRunFailed": {"error": READER_FAILED, "cause": "Attempting to map over non-iterable node."}},
    ),
    Scenario("a missing object", reading(key="gone.json"), error=READER_FAILED, events=RUN_FAILED),
    Scenario("MaxItems", reading({"MaxItemsPath": "$.x"}), {"x": 2}, output=[{"n": 1}, {"n": 2}]),
    Scenario("MaxItems 0", reading({"MaxItemsPath": "$.x"}), {"x": 0}, output=[{"n": 1}, {"n": 2}, {"n": 3}]),
    Scenario(
        "MaxItems -1", reading({"MaxItemsPath": "$.x"}), {"x": -1}, error=READER_FAILED,
        cause="field MaxItems must be positive", events=RUN_FAILED,
    ),
    Scenario(
        "MaxItems 1.5", reading({"MaxItemsPath": "$.x"}), {"x": 1.5}, error=RUNTIME,
        cause=at("S", 'The MaxItemsPath field refers to value "1.5" which is not a valid integer: $.x'),
        events=WITHOUT_RUN,
    ),
]  # fmt: skip


@pytest.mark.parametrize("scenario", parameters([*INLINE, *LIMITS, *READERS]))
def test_fan_outs_run_as_recorded(engine: Engine, scenario: Scenario) -> None:
    engine.put_object("items.json", json.dumps([{"n": 1}, {"n": 2}, {"n": 3}]))
    engine.put_object("object.json", json.dumps({"n": 1}))
    engine.check(scenario)


def test_results_count_as_written_without_a_result_writer(engine: Engine) -> None:
    arn = engine.run(distributed(PASS, MaxConcurrency=1, Label="Fan"), [1, 2])
    [listed] = engine.call("ListMapRuns", executionArn=arn)["mapRuns"]
    described = engine.call("DescribeMapRun", mapRunArn=listed["mapRunArn"])
    counts = {"total": 2, "succeeded": 2, "resultsWritten": 2, "pending": 0, "running": 0, "failed": 0}
    assert {key: described["itemCounts"][key] for key in counts} == counts
    assert (described["status"], described["maxConcurrency"], described["toleratedFailurePercentage"]) == (
        "SUCCEEDED", 1, 0.0,
    )  # fmt: skip
