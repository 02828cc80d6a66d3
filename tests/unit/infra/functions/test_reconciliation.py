"""The rules that reconcile records and jobs with what really runs."""

from typing import Any

from tests.unit.infra.assembly import Assembly, flat


def rule_of(assembly: Assembly, name: str) -> dict[str, Any]:
    (rule,) = [
        rule
        for logical_id, rule in assembly.resources("workflow", "AWS::Events::Rule").items()
        if logical_id.startswith(f"Closing{name}")
    ]
    return rule


def test_abnormal_ends_of_both_state_machines_reach_reconcile(assembly: Assembly) -> None:
    rule = rule_of(assembly, "Rule")
    pattern = rule["EventPattern"]
    assert pattern["source"] == ["aws.states"]
    assert [flat(arn) for arn in pattern["detail"]["stateMachineArn"]] == [
        "<StateMachine>",
        "<TrainingStateMachine>",
    ]
    assert set(pattern["detail"]["status"]) == {"ABORTED", "FAILED", "TIMED_OUT"}
    assert rule["State"] == "ENABLED"


def test_jobs_of_the_stage_alone_reach_reconcile(assembly: Assembly) -> None:
    for word in ("Processing", "Training"):
        pattern = rule_of(assembly, f"{word}Jobs")["EventPattern"]
        assert (pattern["source"], pattern["detail-type"]) == (
            ["aws.sagemaker"],
            [f"SageMaker {word} Job State Change"],
        )
        assert pattern["detail"][f"{word}JobName"] == [{"prefix": "dev-"}]
        assert pattern["detail"][f"{word}JobStatus"] == ["InProgress", "Failed", "Stopped"]


def test_a_schedule_finds_what_no_event_has_reported(assembly: Assembly) -> None:
    rule = rule_of(assembly, "Schedule")
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(15 minutes)", "ENABLED")
    assert "EventPattern" not in rule


def test_every_rule_calls_reconcile_and_keeps_undelivered_events(assembly: Assembly) -> None:
    queue = assembly.resources("workflow", "AWS::SQS::Queue")["ClosingDeadLetters"]
    assert flat(queue["KmsMasterKeyId"]) == "<fleetscore-dev-KeyArn>"
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3_600
    for rule in assembly.resources("workflow", "AWS::Events::Rule").values():
        (target,) = rule["Targets"]
        assert flat(target["Arn"]) == "<Reconcile.Arn>"
        assert flat(target["DeadLetterConfig"]["Arn"]) == "<ClosingDeadLetters.Arn>"
        assert "Input" not in target
        assert "InputTransformer" not in target


def test_events_that_the_function_fails_at_go_to_the_dead_letter_queue(assembly: Assembly) -> None:
    """The rules' own queue receives only events that Lambda did not accept."""
    (calls,) = assembly.resources("workflow", "AWS::Lambda::EventInvokeConfig").values()
    assert flat(calls["FunctionName"]) == "<Reconcile>"
    assert flat(calls["DestinationConfig"]["OnFailure"]["Destination"]) == "<ClosingDeadLetters.Arn>"
    assert calls["MaximumRetryAttempts"] == 2


def test_only_the_rules_may_call_the_function(assembly: Assembly) -> None:
    rules = {f"<{name}.Arn>" for name in assembly.resources("workflow", "AWS::Events::Rule")}
    permissions = assembly.resources("workflow", "AWS::Lambda::Permission").values()
    assert {flat(permission["SourceArn"]) for permission in permissions} == rules
    assert {permission["Principal"] for permission in permissions} == {"events.amazonaws.com"}
