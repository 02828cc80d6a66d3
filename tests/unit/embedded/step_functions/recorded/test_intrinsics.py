"""Intrinsic functions."""

from typing import Any

import pytest

from tests.unit.embedded.step_functions.recorded.engine import Engine, Scenario, at, one_state

DATA = {
    "text": "", "space": " ", "null": None, "flag": True, "low": 1.49, "half": 1.5, "minus": -1.5, "below": -1.51,
    "tiny": 0.5, "object": {"Arg1": 1, "Arg2": []}, "nested": {"a": {"b": "c", "d": [1, "x", None, False]}},
    "json": '{"Arg1": 1, "Arg2": []}', "list": [1, 2, 3], "many": [0, 1, 2, 3], "twice": [1, 2, 1, 3, 2],
}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("States.MathAdd($.low, $.half)", 3),
        ("States.MathAdd($.minus, $.below)", -3),
        ("States.MathAdd($.tiny, 0)", 1),
        ("States.MathAdd(3, -5)", -2),
        ("States.Format('is {}.', $.text)", "is ."),
        ("States.Format('is {}.', $.null)", "is null."),
        ("States.Format('is {}.', $.flag)", "is true."),
        ("States.Format('is {}.', $.low)", "is 1.49."),
        ("States.Format('is {}.', $.object)", "is {Arg1=1, Arg2=[]}."),
        ("States.Format('is {}.', $.nested)", "is {a={b=c, d=[1, x, null, false]}}."),
        ("States.Format('is {}.', $.json)", 'is {"Arg1": 1, "Arg2": []}.'),
        ("States.Format('{} {}', $.list, States.MathAdd(1, 1))", "[1, 2, 3] 2"),
        ("States.StringToJson($.text)", None),
        ("States.StringToJson($.space)", None),
        ("States.StringToJson($.json)", {"Arg1": 1, "Arg2": []}),
        ("States.JsonToString($.object)", '{"Arg1":1,"Arg2":[]}'),
        ("States.JsonToString($.null)", "null"),
        ("States.JsonMerge($.object, $.nested, false)", {**DATA["object"], **DATA["nested"]}),  # type: ignore[dict-item]
        ("States.StringSplit('1,2,,3', ',')", ["1", "2", "3"]),
        ("States.ArrayPartition($.many, 3)", [[0, 1, 2], [3]]),
        ("States.ArrayRange(1, 9, 2)", [1, 3, 5, 7, 9]),
        ("States.ArrayRange(0, 9, 3)", [0, 3, 6, 9]),
        ("States.ArrayContains($.many, 4)", False),
        ("States.ArrayUnique($.twice)", [1, 2, 3]),
        ("States.ArrayGetItem($.many, 2)", 2),
        ("States.ArrayLength($.many)", 4),
        ("States.Array($.null, 1, 'a')", [None, 1, "a"]),
        ("States.Base64Encode('Data to encode')", "RGF0YSB0byBlbmNvZGU="),
        ("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", "Data to encode"),
    ],
)
def test_functions_return_the_recorded_values(engine: Engine, expression: str, value: Any) -> None:
    state = {"Type": "Pass", "Parameters": {"value.$": expression}}
    engine.check(Scenario(expression, one_state(state), DATA, status="SUCCEEDED", output={"value": value}))


def test_a_failing_function_is_an_intrinsic_failure(engine: Engine) -> None:
    state = {"Type": "Pass", "Parameters": {"value.$": "States.StringToJson('{')"}}
    engine.check(Scenario("", one_state(state), status="FAILED", error="States.IntrinsicFailure"))


def test_a_missing_argument_fails_the_execution(engine: Engine) -> None:
    state = {"Type": "Pass", "Parameters": {"value.$": "States.Format('{}', $.gone)"}}
    problem = "The JsonPath argument for the field '$.gone' could not be found in the input '{\"a\":1}'"
    cause = at("S", f"The function 'States.Format('{{}}', $.gone)' had the following error: {problem}")
    engine.check(Scenario("", one_state(state), {"a": 1}, error="States.Runtime", cause=cause))
