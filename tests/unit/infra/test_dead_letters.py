"""Every dead-letter queue of the app is encrypted, keeps messages for 14 days, and has an alarm."""

import pytest

from tests.unit.infra.assembly import Assembly, flat

DEAD_LETTERS = [
    ("workflow", "ClosingDeadLetters", "ClosingDeadLettersAlarm"),
    ("workflow", "AnnouncementsDeadLetters", "AnnouncementsDeadLettersAlarm"),
    ("triggers", "SchedulesDeadLetters", "SchedulesNotStarted"),
    ("triggers", "UploadsDeadLetters", "UploadsDeadLettersAlarm"),
]
"""Stack, queue and alarm, by logical ids that deployed stages rely on."""


def test_the_app_has_these_dead_letter_queues_with_their_alarms_only(assembly: Assembly) -> None:
    queues = {(stack, name) for stack in assembly.templates for name in assembly.resources(stack, "AWS::SQS::Queue")}
    alarms = {
        (stack, name) for stack in assembly.templates for name in assembly.resources(stack, "AWS::CloudWatch::Alarm")
    }
    assert queues == {("triggers", "UploadsQueue"), *[(stack, queue) for stack, queue, _ in DEAD_LETTERS]}
    late = {("workflow", f"Lateness{metric}") for metric in ("DeadlinesAtRisk", "DeadlinesMissed")}
    assert alarms - late == {(stack, alarm) for stack, _, alarm in DEAD_LETTERS}


@pytest.mark.parametrize(("stack", "queue", "alarm"), DEAD_LETTERS)
def test_one_message_in_a_dead_letter_queue_raises_its_alarm(
    assembly: Assembly, stack: str, queue: str, alarm: str
) -> None:
    found = assembly.resources(stack, "AWS::CloudWatch::Alarm")[alarm]
    assert (found["Namespace"], found["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    (dimension,) = found["Dimensions"]
    assert flat(dimension["Value"]) == f"<{queue}.QueueName>"
    assert (found["Statistic"], found["Period"], found["EvaluationPeriods"]) == ("Maximum", 60, 1)
    assert (found["ComparisonOperator"], found["Threshold"]) == ("GreaterThanOrEqualToThreshold", 1)
    assert found["TreatMissingData"] == "notBreaching"
    assert "dead-letter" in found["AlarmDescription"]


@pytest.mark.parametrize(("stack", "queue"), [(stack, queue) for stack, queue, _ in DEAD_LETTERS])
def test_dead_letters_are_encrypted_and_kept_for_14_days(assembly: Assembly, stack: str, queue: str) -> None:
    found = assembly.resources(stack, "AWS::SQS::Queue")[queue]
    assert flat(found["KmsMasterKeyId"]) == "<fleetscore-dev-KeyArn>"
    assert found["MessageRetentionPeriod"] == 14 * 24 * 3_600
