"""No record stays open when an execution ends without its last states."""

from tests.unit.infra.assembly import Assembly, flat


def test_every_bad_end_of_either_state_machine_reaches_the_function_that_closes_records(assembly: Assembly) -> None:
    (rule,) = assembly.resources("workflow", "AWS::Events::Rule").values()
    pattern = rule["EventPattern"]
    assert pattern["source"] == ["aws.states"]
    assert [flat(arn) for arn in pattern["detail"]["stateMachineArn"]] == [
        "<StateMachine>",
        "<TrainingStateMachine>",
    ]
    assert set(pattern["detail"]["status"]) == {"ABORTED", "FAILED", "TIMED_OUT"}
    assert rule["State"] == "ENABLED"
    (target,) = rule["Targets"]
    assert flat(target["Arn"]) == "<SummarizeExecution.Arn>"
    assert "Input" not in target
    assert "InputTransformer" not in target


def test_news_that_cannot_be_delivered_is_kept(assembly: Assembly) -> None:
    (rule,) = assembly.resources("workflow", "AWS::Events::Rule").values()
    queue = assembly.resources("workflow", "AWS::SQS::Queue")["ClosingDeadLetters"]
    assert flat(rule["Targets"][0]["DeadLetterConfig"]["Arn"]) == "<ClosingDeadLetters.Arn>"
    assert queue["SqsManagedSseEnabled"] is True
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3_600


def test_news_that_the_function_fails_at_is_kept_too(assembly: Assembly) -> None:
    """A rule's own queue gets only what could not be handed to Lambda, which calls the function on its own time."""
    (calls,) = assembly.resources("workflow", "AWS::Lambda::EventInvokeConfig").values()
    assert flat(calls["FunctionName"]) == "<SummarizeExecution>"
    assert flat(calls["DestinationConfig"]["OnFailure"]["Destination"]) == "<ClosingDeadLetters.Arn>"
    assert calls["MaximumRetryAttempts"] == 2


def test_only_the_rule_may_call_the_function(assembly: Assembly) -> None:
    ((rule, _),) = assembly.resources("workflow", "AWS::Events::Rule").items()
    (permission,) = assembly.resources("workflow", "AWS::Lambda::Permission").values()
    assert permission["Principal"] == "events.amazonaws.com"
    assert flat(permission["SourceArn"]) == f"<{rule}.Arn>"
