"""The rule that closes the records of executions that end abnormally."""

from tests.unit.infra.assembly import Assembly, flat


def test_abnormal_ends_of_both_state_machines_reach_summarize_execution(assembly: Assembly) -> None:
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


def test_undelivered_events_go_to_the_dead_letter_queue(assembly: Assembly) -> None:
    (rule,) = assembly.resources("workflow", "AWS::Events::Rule").values()
    queue = assembly.resources("workflow", "AWS::SQS::Queue")["ClosingDeadLetters"]
    assert flat(rule["Targets"][0]["DeadLetterConfig"]["Arn"]) == "<ClosingDeadLetters.Arn>"
    assert flat(queue["KmsMasterKeyId"]) == "<fleetscore-dev-KeyArn>"
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3_600


def test_events_that_the_function_fails_at_go_to_the_dead_letter_queue(assembly: Assembly) -> None:
    """The rule's own queue receives only events that Lambda did not accept."""
    (calls,) = assembly.resources("workflow", "AWS::Lambda::EventInvokeConfig").values()
    assert flat(calls["FunctionName"]) == "<SummarizeExecution>"
    assert flat(calls["DestinationConfig"]["OnFailure"]["Destination"]) == "<ClosingDeadLetters.Arn>"
    assert calls["MaximumRetryAttempts"] == 2


def test_only_the_rule_may_call_the_function(assembly: Assembly) -> None:
    ((rule, _),) = assembly.resources("workflow", "AWS::Events::Rule").items()
    (permission,) = assembly.resources("workflow", "AWS::Lambda::Permission").values()
    assert permission["Principal"] == "events.amazonaws.com"
    assert flat(permission["SourceArn"]) == f"<{rule}.Arn>"
