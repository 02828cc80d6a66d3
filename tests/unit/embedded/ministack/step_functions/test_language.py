import pytest

from embedded.ministack.step_functions import language
from embedded.ministack.step_functions.tasks import TaskError


def test_jsonpath_is_split_into_steps() -> None:
    assert language.path_tokens("$.a['b c'][0][*]") == (
        ("field", "a"),
        ("field", "b c"),
        ("index", 0),
        ("wildcard", None),
    )
    assert language.path_tokens("$.a[?(@.b)]") is None


def test_intrinsics_are_computed() -> None:
    assert language.compute_intrinsic("States.ArrayRange", [1, 5, 2]) == [1, 3, 5]
    with pytest.raises(ValueError, match="Unsupported intrinsic function"):
        language.compute_intrinsic("States.Nothing", [])


def test_jsonata_is_evaluated() -> None:
    assert language.jsonata_template({"a": "{% $states.input.n + 1 %}"}, {"n": 1}, {}) == {"a": 2}


def test_failing_expression_raises_the_states_error() -> None:
    with pytest.raises(TaskError) as failed:
        language.jsonata_template("{% $number('x') %}", {}, {})
    assert failed.value.error == "States.QueryEvaluationError"


def test_malformed_jsonata_in_a_definition_is_found() -> None:
    assert "INVALID_JSONATA_EXPRESSION" in str(language.jsonata_error('{"a": "{% ( %}"}'))
    assert language.jsonata_error('{"a": "{% 1 %}"}') is None


def test_jsonata_choices_and_variables() -> None:
    context = {"QueryLanguage": "JSONata"}
    language.jsonata_assign({"Assign": {"n": "{% $states.result %}"}}, {}, context, result=3)
    choice = {"Choices": [{"Condition": "{% $n = 3 %}", "Next": "Three"}], "Default": "Other"}
    assert language.jsonata_choice(choice, {"a": 1}, context) == ({"a": 1}, "Three")


def test_fail_state_returns_error_and_cause() -> None:
    assert language.fail_reason({"Error": "E", "CausePath": "$.why"}, {"why": "W"}, {}) == ("E", "W")


def test_unknown_integration_is_refused() -> None:
    with pytest.raises(TaskError, match="not yet implemented"):
        language.call_integration("arn:aws:states:::glue:startJobRun", {})


def test_every_integration_with_known_permissions_is_served() -> None:
    prefixes = set(language.integration_prefixes())
    assert {"arn:aws:states:::sqs:sendMessage", "arn:aws:states:::dynamodb:updateItem"} <= prefixes


def test_call_with_task_token_can_be_abandoned() -> None:
    resource = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
    call, abandon = language.call_with_token(resource, {"QueueUrl": "http://localhost/1/none"}, "token", {})
    abandon()
    with pytest.raises(TaskError):
        call()
