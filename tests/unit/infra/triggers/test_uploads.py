"""The upload trigger: its rule, queue, dead letters, and the permissions of its function."""

from typing import Any

from contract.triggers.uploads import UploadRule, rules_from_text
from tests.unit.infra.assembly import Assembly, flat


def of_uploads(assembly: Assembly, kind: str) -> dict[str, Any]:
    """Return the upload trigger's resources of one type."""
    found = assembly.resources("triggers", kind).items()
    return {name: properties for name, properties in found if name.startswith("Uploads")}


def queues(assembly: Assembly) -> tuple[dict[str, Any], dict[str, Any]]:
    found = of_uploads(assembly, "AWS::SQS::Queue")
    return found["UploadsQueue"], found["UploadsDeadLetters"]


def test_only_the_datasets_bucket_sends_events(assembly: Assembly) -> None:
    found = {
        name: bucket["NotificationConfiguration"]
        for name, bucket in assembly.resources("storage", "AWS::S3::Bucket").items()
        if "NotificationConfiguration" in bucket
    }
    assert found == {"Datasets": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}}


def test_the_rule_queues_new_objects_and_keeps_undelivered_events(automated: Assembly) -> None:
    (rule,) = of_uploads(automated, "AWS::Events::Rule").values()
    assert rule["EventPattern"]["source"] == ["aws.s3"]
    assert rule["EventPattern"]["detail-type"] == ["Object Created"]
    (bucket,) = rule["EventPattern"]["detail"]["bucket"]["name"]
    assert flat(bucket) == "<fleetscore-dev-DatasetsBucket>"
    (target,) = rule["Targets"]
    assert flat(target["Arn"]) == "<UploadsQueue.Arn>"
    assert flat(target["DeadLetterConfig"]["Arn"]) == "<UploadsDeadLetters.Arn>"


def test_the_rule_is_enabled_only_with_a_dataset(assembly: Assembly, automated: Assembly) -> None:
    (without,) = of_uploads(assembly, "AWS::Events::Rule").values()
    (with_one,) = of_uploads(automated, "AWS::Events::Rule").values()
    assert (without["State"], with_one["State"]) == ("DISABLED", "ENABLED")


def test_the_queues_are_encrypted_and_refuse_plain_http(assembly: Assembly) -> None:
    for queue in queues(assembly):
        assert flat(queue["KmsMasterKeyId"]) == "<fleetscore-dev-KeyArn>"
        assert queue["MessageRetentionPeriod"] == 14 * 24 * 3_600
    policies = of_uploads(assembly, "AWS::SQS::QueuePolicy").values()
    denied = {
        flat(item["Resource"])
        for policy in policies
        for item in policy["PolicyDocument"]["Statement"]
        if item["Effect"] == "Deny" and item["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    assert denied == {"<UploadsQueue.Arn>", "<UploadsDeadLetters.Arn>"}


def test_an_unprocessed_message_goes_to_the_dead_letter_queue(assembly: Assembly) -> None:
    queue, _ = queues(assembly)
    assert flat(queue["RedrivePolicy"]["deadLetterTargetArn"]) == "<UploadsDeadLetters.Arn>"
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 20


def test_a_batch_reports_single_failures_and_outlasts_the_function(assembly: Assembly) -> None:
    (mapping,) = of_uploads(assembly, "AWS::Lambda::EventSourceMapping").values()
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (10_000, 5)
    (function,) = of_uploads(assembly, "AWS::Lambda::Function").values()
    assert queues(assembly)[0]["VisibilityTimeout"] >= 6 * function["Timeout"]


def test_the_function_gets_the_rules(automated: Assembly) -> None:
    (function,) = of_uploads(automated, "AWS::Lambda::Function").values()
    variables = function["Environment"]["Variables"]
    assert rules_from_text(variables["FLEETSCORE_UPLOADS"]) == (
        UploadRule("orders", "window", 300, {"max_concurrency": 5}),
        UploadRule("flights", "marker"),
    )
    assert flat(variables["FLEETSCORE_STATE_MACHINE_ARN"]) == "<fleetscore-dev-StateMachineArn>"


def test_the_function_may_read_markers_but_no_data(assembly: Assembly) -> None:
    allowed: dict[str, set[str]] = {}
    for name, item in assembly.statements():
        if name.startswith("triggers/Uploads"):
            actions = item["Action"] if isinstance(item["Action"], list) else [item["Action"]]
            resources = item["Resource"] if isinstance(item["Resource"], list) else [item["Resource"]]
            for action in actions:
                allowed.setdefault(action, set()).update(map(flat, resources))
    datasets, results = "arn:aws:s3:::<fleetscore-dev-DatasetsBucket>", "arn:aws:s3:::<fleetscore-dev-ResultsBucket>"
    assert allowed["s3:GetObject"] == {f"{results}/uploads/*"}
    assert allowed["s3:GetObjectVersion"] == {f"{datasets}/*/_READY"}
    assert allowed["s3:PutObject"] == {f"{results}/uploads/*"}
    assert allowed["states:StartExecution"] == {"<fleetscore-dev-StateMachineArn>"}
    assert allowed["sqs:ReceiveMessage"] == allowed["sqs:SendMessage"] == {"<UploadsQueue.Arn>"}
    assert not [action for action in allowed if action.startswith(("s3:Delete", "iam:"))]
