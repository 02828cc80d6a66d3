"""Definitions that CreateStateMachine refuses.

Texts with the mark "recorded" are AWS's own. The others are ours: AWS is recorded or documented to
refuse the definition, but without a text.
"""

import copy
import json
from typing import Any

import pytest

from tests.unit.embedded.step_functions.recorded.engine import ROLE, Engine, one_state

TASK = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage"}
PASS = {"StartAt": "Inner", "States": {"Inner": {"Type": "Pass", "End": True}}}
DISTRIBUTED = {**PASS, "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
KINDS = "Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map"
LONG = "12345678901234567890123456789012345678901"
RFC_3339 = "String does not match RFC3339 timestamp at /States/S/Timestamp"
NOT_IN_TEMPLATE = "The value for the field 'a.$' must be a valid JSONPath or a valid intrinsic function call at "


def choice(rule: dict[str, Any], **fields: Any) -> dict[str, Any]:
    states = {"S": {"Type": "Choice", "Choices": [rule], "Default": "D", **fields}, "D": {"Type": "Succeed"}}
    return {"StartAt": "S", "States": states}


def wait(**fields: Any) -> dict[str, Any]:
    return one_state({"Type": "Wait", **fields})


def fan(**fields: Any) -> dict[str, Any]:
    return one_state({"Type": "Map", "ItemProcessor": DISTRIBUTED, **fields})


def retry(*entries: dict[str, Any]) -> dict[str, Any]:
    return one_state({**TASK, "Retry": list(entries)})


RECORDED = [
    ({}, "These fields are required: [States, StartAt] at /"),
    ({"StartAt": "S"}, "These fields are required: [States] at /"),
    ({"States": {"S": {"Type": "Succeed"}}}, "These fields are required: [StartAt] at /"),
    (one_state({"Type": "Parallel", "Branches": []}), "Value cannot be empty at /States/S/Branches"),
    (
        one_state({"Type": "Sleep"}),
        f"The field 'Type' should have one of these values: [{KINDS}] at /States/S/Type",
    ),
    (wait(Timestamp="2026-12-05 21:29:29Z"), RFC_3339),
    (wait(Timestamp="2026-12-05T21:29:29"), RFC_3339),
    (wait(Timestamp="2026-13-05T21:29:29Z"), RFC_3339),
    (wait(Timestamp="2026-12-05T25:29:29Z"), RFC_3339),
    (wait(Timestamp="05-12-2026T21:29:29Z"), RFC_3339),
    (wait(Timestamp="{% $now() %}"), RFC_3339),
    (
        one_state({"Type": "Pass", "Parameters": {"a.$": r"States.StringToJson('\x')"}}),
        f"{NOT_IN_TEMPLATE}/States/S/Parameters",
    ),
    (
        one_state({"Type": "Pass", "QueryLanguage": "JSONPath"}, QueryLanguage="JSONata"),
        "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/S",
    ),
]  # fmt: skip
OURS = [
    # Rules of Choice states.
    (choice({"Variable": "$.a", "StringIs": "x", "Next": "D"}), "The field 'StringIs' is not a comparison operator"),
    (choice({"Variable": "$.a", "StringEquals": "x"}), "The field 'Next' is required but was missing"),
    (choice({"StringEquals": "x", "Next": "D"}), "The field 'Variable' is required but was missing"),
    (choice({"Variable": "$.a", "Next": "D"}), "Exactly one comparison is needed, but the rule has []"),
    (
        choice({"Variable": "$.a", "StringEquals": "x", "IsNull": False, "Next": "D"}),
        "Exactly one comparison is needed, but the rule has ['IsNull', 'StringEquals']",
    ),
    (choice({"Variable": "$.a", "NumericEquals": "1", "Next": "D"}), "Value is not a numeric"),
    (choice({"Variable": "$.a", "BooleanEquals": 1, "Next": "D"}), "Value is not a boolean"),
    (choice({"Variable": "$.a", "TimestampEquals": "today", "Next": "D"}), "String does not match RFC3339 timestamp"),
    (choice({"Variable": "$.a", "StringEqualsPath": "b", "Next": "D"}), "Value is not a JSONPath: 'b'"),
    (choice({"Variable": "a", "IsNull": True, "Next": "D"}), "Value is not a JSONPath: 'a'"),
    (choice({"And": [], "Next": "D"}), "Value cannot be empty at /States/S/Choices[0]/And"),
    (
        choice({"And": [{"Variable": "$.a", "IsNull": True, "Next": "D"}], "Next": "D"}),
        "The field 'Next' is not a comparison operator at /States/S/Choices[0]/And[0]/Next",
    ),
    (choice({"Not": {"Variable": "$.a", "Is": 1}, "Next": "D"}), "'Is' is not a comparison operator"),
    # Fields that exclude each other.
    (wait(Seconds=1, SecondsPath="$.a"), "one of Seconds, SecondsPath, Timestamp, TimestampPath is needed"),
    (one_state({**TASK, "TimeoutSeconds": 1, "TimeoutSecondsPath": "$.a"}), "'TimeoutSecondsPath'"),
    (one_state({"Type": "Fail", "Error": "a", "ErrorPath": "$.a"}), "'Error' and 'ErrorPath'"),
    (one_state({"Type": "Fail", "Cause": "a", "CausePath": "$.a"}), "'Cause' and 'CausePath'"),
    (fan(MaxConcurrency=1, MaxConcurrencyPath="$.a"), "'MaxConcurrency' and 'MaxConcurrencyPath'"),
    (fan(ToleratedFailureCount=1, ToleratedFailureCountPath="$.a"), "'ToleratedFailureCountPath'"),
    (one_state({"Type": "Pass", "Next": "S", "End": True}), "exactly one of Next and End is needed"),
    # Paths.
    (one_state({"Type": "Pass", "InputPath": "a"}), "Value is not a JSONPath that can be read: 'a'"),
    (one_state({"Type": "Pass", "InputPath": "$.a["}), "Value is not a JSONPath that can be read"),
    (one_state({"Type": "Pass", "OutputPath": "$..a"}), "Value is not a JSONPath that can be read"),
    (one_state({"Type": "Pass", "ResultPath": "$.a[*]"}), "Value is not a Reference Path: '$.a[*]'"),
    (one_state({"Type": "Pass", "ResultPath": "$$.a"}), "Value is not a Reference Path"),
    (wait(SecondsPath="a"), "Value is not a JSONPath that can be read: 'a' at /States/S/SecondsPath"),
    (fan(ItemsPath=""), "Value is not a JSONPath that can be read"),
    (one_state({"Type": "Fail", "ErrorPath": "States.Nothing('a')"}), "Value is not a JSONPath that can be read"),
    (one_state({**TASK, "Parameters": {"a.$": "b"}}), f"{NOT_IN_TEMPLATE}/States/S/Parameters"),
    (one_state({**TASK, "ResultSelector": {"b": [{"a.$": "States.UUID("}]}}), f"{NOT_IN_TEMPLATE}/States/S/Result"),
    (fan(ItemSelector={"a.$": "States.MathAdd(1)"}), f"{NOT_IN_TEMPLATE}/States/S/ItemSelector"),
    # Labels, numbers and names.
    (fan(Label=""), "Value cannot be empty at /States/S/Label"),
    (fan(Label=LONG), "Label cannot exceed 40 characters"),
    *((fan(Label=f"label_{sign}"), "Label contains an invalid character") for sign in " ?*<>{}[]:;,\\|^~$#%&`\"\n"),
    (wait(Seconds=-1), "The field 'Seconds' must be an integer from 0 to 99,999,999"),
    (wait(Seconds=1.5), "The field 'Seconds' must be an integer"),
    (one_state({**TASK, "TimeoutSeconds": 0}), "The field 'TimeoutSeconds' must be an integer from 1"),
    (one_state({"Type": "Pass"}, TimeoutSeconds="1"), "The field 'TimeoutSeconds' must be an integer from 1"),
    (fan(ToleratedFailurePercentage=101), "The field 'ToleratedFailurePercentage' must be a number from 0 to 100"),
    (retry({"ErrorEquals": ["A"], "MaxAttempts": -1}), "The field 'MaxAttempts' must be an integer from 0"),
    (retry({"ErrorEquals": ["A"], "BackoffRate": 0.5}), "The field 'BackoffRate' must be a number of at least 1"),
    (retry({"ErrorEquals": ["A"], "JitterStrategy": "SOME"}), "JitterStrategy must be NONE or FULL"),
    (retry({"MaxAttempts": 1}), "The field 'ErrorEquals' is required but was missing at /States/S/Retry[0]"),
    (retry({"ErrorEquals": []}), "Value cannot be empty at /States/S/Retry[0]/ErrorEquals"),
    (retry({"ErrorEquals": ["States.ALL", "A"]}), "'States.ALL' must stand alone, and in the last entry"),
    (retry({"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["A"]}), "'States.ALL' must stand alone"),
    (one_state({**TASK, "Catch": [{"ErrorEquals": ["A"]}]}), "The field 'Next' is required but was missing"),
    ({"StartAt": "S", "States": {}}, "Value cannot be empty at /States"),
    ({"StartAt": "S", "States": {"S": {"Type": "Pass", "Next": "S"}}}, "MISSING_END_STATE: No state ends the machine"),
    ({"StartAt": "n" * 81, "States": {"n" * 81: {"Type": "Succeed"}}}, "State names have at most 80 characters"),
    (
        one_state({"Type": "Parallel", "Branches": [PASS, PASS]}),
        "DUPLICATE_STATE_NAME: The state name 'Inner' appears more than once at /States/S/Branches[1]/States/Inner",
    ),
]  # fmt: skip


BROKEN = [
    ({"StartAt": "S", "States": []}, "Value must be an object at /States"),
    ({"StartAt": 1, "States": {"S": {"Type": "Succeed"}}}, "Value must be a string at /StartAt"),
    ({"StartAt": "S", "States": {"S": 1}}, "Value must be an object at /States/S"),
    (one_state({"Type": ["Pass"]}), "Value must be a string at /States/S/Type"),
    (one_state({"Type": "Pass", "Next": {}}), "Value must be a string at /States/S/Next"),
    (one_state({**TASK, "Retry": {}}), "Value must be a list at /States/S/Retry"),
    (one_state({**TASK, "Catch": ["A"]}), "Value must be an object at /States/S/Catch[0]"),
    (choice(1), "Value must be an object at /States/S/Choices[0]"),  # type: ignore[arg-type]
    (one_state({"Type": "Parallel", "Branches": [1]}), "Value must be an object at /States/S/Branches[0]"),
    (one_state({"Type": "Map", "ItemProcessor": "P"}), "Value must be an object at /States/S/ItemProcessor"),
    (
        one_state({"Type": "Map", "ItemProcessor": {"StartAt": "I", "States": {"I": None}}}),
        "Value must be an object at /States/S/ItemProcessor/States/I",
    ),
    (fan(ItemReader={"ReaderConfig": []}), "Value must be an object at /States/S/ItemReader/ReaderConfig"),
]  # fmt: skip


def refusal(engine: Engine, definition: dict[str, Any], **fields: Any) -> str:
    answer = engine.call(
        "CreateStateMachine", name="refused", definition=json.dumps(definition), roleArn=ROLE, **fields
    )
    assert answer.get("__type") == "InvalidDefinition", answer
    return str(answer["message"])


@pytest.mark.parametrize(("definition", "text"), RECORDED)
def test_definitions_are_refused_in_the_recorded_words(engine: Engine, definition: dict[str, Any], text: str) -> None:
    assert f"'SCHEMA_VALIDATION_FAILED: {text}" in refusal(engine, definition)


@pytest.mark.parametrize(("definition", "text"), OURS + BROKEN)
def test_faulty_definitions_are_refused(engine: Engine, definition: dict[str, Any], text: str) -> None:
    assert text in refusal(engine, definition)


def test_an_update_is_checked_like_a_creation(engine: Engine) -> None:
    arn = engine.create(one_state({"Type": "Pass"}))
    bad = json.dumps(wait(Timestamp="tomorrow"))
    answer = engine.call("UpdateStateMachine", stateMachineArn=arn, definition=bad)
    assert answer["message"] == f"Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: {RFC_3339}'"
    assert json.loads(engine.call("DescribeStateMachine", stateMachineArn=arn)["definition"]) == one_state(
        {"Type": "Pass"}
    )


@pytest.mark.parametrize("kind", ["STANDARD", "EXPRESS"])
def test_validation_reports_diagnostics_without_creating(engine: Engine, kind: str) -> None:
    bad = {"States": {"S": {"Type": "Succeed"}}}
    answer = engine.call("ValidateStateMachineDefinition", definition=json.dumps(bad), type=kind)
    text = "These fields are required: [StartAt]"
    first = {"severity": "ERROR", "code": "SCHEMA_VALIDATION_FAILED", "message": text, "location": "/"}
    assert (answer["result"], answer["diagnostics"][0], answer["truncated"]) == ("FAIL", first, False)


def test_validation_accepts_what_can_be_created(engine: Engine) -> None:
    answer = engine.call("ValidateStateMachineDefinition", definition=json.dumps(one_state({"Type": "Pass"})))
    assert answer == {"result": "OK", "diagnostics": [], "truncated": False}


def test_validation_of_an_empty_definition(engine: Engine) -> None:
    answer = engine.call("ValidateStateMachineDefinition", definition="")
    text = "Definition must be a valid JSON object"
    assert answer["diagnostics"] == [{"severity": "ERROR", "code": "SCHEMA_VALIDATION_FAILED", "message": text}]


@pytest.mark.xfail(reason="Python's JSON parser words the problem, and does not give a column", strict=True)
def test_validation_of_text_that_is_no_json(engine: Engine) -> None:
    [found] = engine.call("ValidateStateMachineDefinition", definition="not a definition")["diagnostics"]
    assert found["location"] == '[Source: (String)"not a definition"; line: 1, column: 4]'


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".sync", "Express state machine does not support '.sync' service integration at /States/S/Resource"),
        (
            ".waitForTaskToken",
            "Express state machine does not support '.waitForTaskToken' service integration  at /States/S/Resource",
        ),
    ],
)
def test_express_machines_cannot_wait_for_a_task(engine: Engine, suffix: str, text: str) -> None:
    machine = one_state({**TASK, "Resource": f"arn:aws:states:::states:startExecution{suffix}"})
    if suffix != ".sync":
        machine["States"]["S"]["Resource"] = f"arn:aws:states:::sqs:sendMessage{suffix}"
    assert text in refusal(engine, machine, type="EXPRESS")


def test_express_machines_are_refused_by_name(engine: Engine) -> None:
    text = "A state machine of type EXPRESS is not supported by the embedded AWS"
    assert text in refusal(engine, one_state({"Type": "Pass"}), type="EXPRESS")


def test_good_definitions_are_accepted(engine: Engine) -> None:
    good: list[dict[str, Any]] = [
        choice({"And": [{"Not": {"Variable": "$$.Execution.Id", "IsNull": True}}], "Next": "D", "Comment": "why"}),
        choice({"Variable": "$.a['b c'][0]", "TimestampLessThanPath": "$.t", "Next": "D"}),
        one_state({"Type": "Fail", "ErrorPath": "States.Format('{}-{}', $.a, States.UUID())", "CausePath": "$$"}),
        fan(Label="a-B_1", MaxConcurrencyPath="$.m", ToleratedFailurePercentage=12.5, ResultPath=None),
        one_state({"Type": "Pass", "InputPath": None, "ResultPath": "$.a['b c'][0]", "Parameters": {"a.$": "$"}}),
        retry({"ErrorEquals": ["A"], "BackoffRate": 1.5}, {"ErrorEquals": ["States.ALL"], "MaxAttempts": 0}),
        wait(Timestamp="2026-12-05T21:29:29.123456789+01:00"),
    ]
    for definition in good:
        engine.create(copy.deepcopy(definition))
