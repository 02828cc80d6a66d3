"""The trigger of uploads: what reaches the queue, who may do what with it, and where messages end that nobody reads."""

from typing import Any

import pytest

from contract.triggers.uploads import UploadRule, rules_from_text
from tests.unit.infra.assembly import Assembly, flat
from tests.unit.infra.conftest import Synthesize

RULES = [
    {"dataset": "orders", "mode": "window", "window_seconds": 300, "request": {"max_concurrency": 5}},
    {"dataset": "flights", "mode": "marker"},
]


@pytest.fixture(scope="module")
def triggered(synthesize: Synthesize) -> Assembly:
    return synthesize(uploads=RULES)


def of_uploads(assembly: Assembly, kind: str) -> dict[str, Any]:
    """The properties of this construct's resources of a kind; the stack has other triggers too."""
    found = assembly.resources("triggers", kind).items()
    return {name: properties for name, properties in found if name.startswith("Uploads")}


def queues(assembly: Assembly) -> tuple[dict[str, Any], dict[str, Any]]:
    found = of_uploads(assembly, "AWS::SQS::Queue")
    return found["UploadsQueue"], found["UploadsDeadLetters"]


def test_the_datasets_bucket_alone_tells_eventbridge_of_its_objects(assembly: Assembly) -> None:
    told = {
        name: bucket["NotificationConfiguration"]
        for name, bucket in assembly.resources("storage", "AWS::S3::Bucket").items()
        if "NotificationConfiguration" in bucket
    }
    assert told == {"Datasets": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}}


def test_the_rule_takes_this_buckets_new_objects_and_keeps_what_it_cannot_deliver(triggered: Assembly) -> None:
    (rule,) = of_uploads(triggered, "AWS::Events::Rule").values()
    assert rule["EventPattern"]["source"] == ["aws.s3"]
    assert rule["EventPattern"]["detail-type"] == ["Object Created"]
    (bucket,) = rule["EventPattern"]["detail"]["bucket"]["name"]
    assert flat(bucket) == "<fleetscore-dev-DatasetsBucket>"
    (target,) = rule["Targets"]
    assert flat(target["Arn"]) == "<UploadsQueue.Arn>"
    assert flat(target["DeadLetterConfig"]["Arn"]) == "<UploadsDeadLetters.Arn>"


def test_the_rule_works_only_when_a_dataset_is_named(assembly: Assembly, triggered: Assembly) -> None:
    (without,) = of_uploads(assembly, "AWS::Events::Rule").values()
    (with_one,) = of_uploads(triggered, "AWS::Events::Rule").values()
    assert (without["State"], with_one["State"]) == ("DISABLED", "ENABLED")


def test_the_queues_are_encrypted_and_refuse_plain_http(assembly: Assembly) -> None:
    for queue in queues(assembly):
        assert queue["SqsManagedSseEnabled"] is True
        assert queue["MessageRetentionPeriod"] == 14 * 24 * 3_600
    policies = of_uploads(assembly, "AWS::SQS::QueuePolicy").values()
    denied = {
        flat(item["Resource"])
        for policy in policies
        for item in policy["PolicyDocument"]["Statement"]
        if item["Effect"] == "Deny" and item["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    assert denied == {"<UploadsQueue.Arn>", "<UploadsDeadLetters.Arn>"}


def test_a_message_that_stays_unread_ends_in_the_dead_letter_queue_and_raises_an_alarm(assembly: Assembly) -> None:
    queue, _ = queues(assembly)
    assert flat(queue["RedrivePolicy"]["deadLetterTargetArn"]) == "<UploadsDeadLetters.Arn>"
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 20
    (alarm,) = of_uploads(assembly, "AWS::CloudWatch::Alarm").values()
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert flat(alarm["Dimensions"][0]["Value"]) == "<UploadsDeadLetters.QueueName>"
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")


def test_a_batch_reports_its_failures_one_by_one_and_has_time(assembly: Assembly) -> None:
    (mapping,) = of_uploads(assembly, "AWS::Lambda::EventSourceMapping").values()
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (10_000, 5)
    (function,) = of_uploads(assembly, "AWS::Lambda::Function").values()
    assert queues(assembly)[0]["VisibilityTimeout"] >= 6 * function["Timeout"]


def test_the_function_knows_the_rules(triggered: Assembly) -> None:
    (function,) = of_uploads(triggered, "AWS::Lambda::Function").values()
    variables = function["Environment"]["Variables"]
    assert rules_from_text(variables["FLEETSCORE_UPLOADS"]) == (
        UploadRule("orders", "window", 300, {"max_concurrency": 5}),
        UploadRule("flights", "marker"),
    )
    assert flat(variables["FLEETSCORE_STATE_MACHINE_ARN"]) == "<fleetscore-dev-StateMachineArn>"


def test_the_function_reads_markers_and_no_data(assembly: Assembly) -> None:
    allowed: dict[str, set[str]] = {}
    for name, item in assembly.statements():
        if name.startswith("triggers/Uploads"):
            actions = item["Action"] if isinstance(item["Action"], list) else [item["Action"]]
            resources = item["Resource"] if isinstance(item["Resource"], list) else [item["Resource"]]
            for action in actions:
                allowed.setdefault(action, set()).update(map(flat, resources))
    datasets, results = "arn:aws:s3:::<fleetscore-dev-DatasetsBucket>", "arn:aws:s3:::<fleetscore-dev-ResultsBucket>"
    assert allowed["s3:GetObject"] == {f"{datasets}/*/_READY", f"{results}/uploads/*"}
    assert allowed["s3:GetObjectVersion"] == {f"{datasets}/*/_READY"}
    assert allowed["s3:PutObject"] == {f"{results}/uploads/*"}
    assert allowed["states:StartExecution"] == {"<fleetscore-dev-StateMachineArn>"}
    assert allowed["sqs:ReceiveMessage"] == allowed["sqs:SendMessage"] == {"<UploadsQueue.Arn>"}
    assert not [action for action in allowed if action.startswith(("s3:Delete", "iam:"))]
