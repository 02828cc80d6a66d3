from typing import Any

import pytest

from contract.table import records
from tests.unit.infra.assembly import Assembly, flat

BUCKETS = ("AccessLogs", "Datasets", "Models", "Results")


def buckets(assembly: Assembly) -> dict[str, Any]:
    return assembly.resources("storage", "AWS::S3::Bucket")


def test_the_stack_has_four_buckets(assembly: Assembly) -> None:
    assert tuple(sorted(buckets(assembly))) == BUCKETS


@pytest.mark.parametrize("name", BUCKETS)
def test_a_bucket_is_private_versioned_and_has_lifecycle_rules(assembly: Assembly, name: str) -> None:
    bucket = buckets(assembly)[name]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)
    assert any("NoncurrentVersionExpiration" in rule for rule in rules)


@pytest.mark.parametrize("name", BUCKETS)
def test_a_bucket_refuses_plain_http(assembly: Assembly, name: str) -> None:
    policies = assembly.resources("storage", "AWS::S3::BucketPolicy")
    (policy,) = [item for item in policies.values() if flat(item["Bucket"]) == f"<{name}>"]
    denials = [item for item in policy["PolicyDocument"]["Statement"] if item["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [item["Condition"] for item in denials]


@pytest.mark.parametrize("name", [name for name in BUCKETS if name != "AccessLogs"])
def test_a_data_bucket_uses_the_stages_key_and_logs_its_access(assembly: Assembly, name: str) -> None:
    bucket = buckets(assembly)[name]
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert flat(rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]) == "<Key.Arn>"
    assert rule["BucketKeyEnabled"] is True
    assert flat(bucket["LoggingConfiguration"]["DestinationBucketName"]) == "<AccessLogs>"


def test_results_expire_only_if_a_setting_says_so(assembly: Assembly, prod: Assembly) -> None:
    def expiring(found: Assembly) -> dict[str, int]:
        rules = buckets(found)["Results"]["LifecycleConfiguration"]["Rules"]
        return {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}

    always = {"map-runs/": 90, "spot/": 35}
    assert expiring(assembly) == always
    outputs = {"predictions/": 30, "joined/": 30, "fleets/": 30, "quarantine/": 30, "latest/": 30}
    assert expiring(prod) == {**outputs, "executions/": 365, "uploads/": 365, **always}


def test_the_key_rotates_and_services_use_it_for_this_stage_only(assembly: Assembly) -> None:
    (key,) = assembly.resources("storage", "AWS::KMS::Key").values()
    assert key["EnableKeyRotation"] is True
    found = set()
    for item in key["KeyPolicy"]["Statement"]:
        if "Service" in item["Principal"]:
            (conditions,) = item.get("Condition", {"none": {}}).values()
            for name, values in conditions.items():
                for value in values if isinstance(values, list) else [values]:
                    service = flat(item["Principal"]["Service"]).partition(".")[0]
                    resource = flat(value).partition("AccountId>:")[2]
                    found.add((service, name.removeprefix("kms:EncryptionContext:"), resource))
    assert found == {
        ("logs", "aws:logs:arn", "log-group:fleetscore-dev-*"),
        ("logs", "aws:logs:arn", "log-group:/aws/vendedlogs/states/fleetscore-dev-*"),
        ("events", "aws:sqs:arn", "fleetscore-dev-*"),
        ("events", "aws:events:event-bus:arn", "event-bus/fleetscore-dev"),
        ("delivery", "SourceArn", "*"),
    }
    unconditional = [item["Action"] for item in key["KeyPolicy"]["Statement"] if "Condition" not in item]
    assert "kms:DescribeKey" in unconditional
    assert len(unconditional) == 2, "the account's own permissions, and EventBridge's look at the key"


def test_the_table_has_the_contracts_keys_and_is_protected(assembly: Assembly) -> None:
    (table,) = assembly.resources("storage", "AWS::DynamoDB::Table").values()
    assert {item["AttributeName"]: item["KeyType"] for item in table["KeySchema"]} == {
        records.PARTITION_KEY: "HASH",
        records.SORT_KEY: "RANGE",
    }
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == records.INDEX_NAME
    assert [item["AttributeName"] for item in index["KeySchema"]] == [
        records.INDEX_PARTITION_KEY,
        records.INDEX_SORT_KEY,
    ]
    assert index["Projection"] == {"ProjectionType": "ALL"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": records.TIME_TO_LIVE, "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["SSESpecification"]["SSEType"] == "KMS"
    assert flat(table["SSESpecification"]["KMSMasterKeyId"]) == "<Key.Arn>"
    assert table["DeletionProtectionEnabled"] is True


def stateful(assembly: Assembly) -> set[tuple[str, str, str]]:
    """Return (type, DeletionPolicy, UpdateReplacePolicy) of every resource that holds data."""
    kinds = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::Logs::LogGroup")
    return {
        (item["Type"], item["DeletionPolicy"], item["UpdateReplacePolicy"])
        for template in assembly.templates.values()
        for item in template["Resources"].values()
        if item["Type"] in kinds
    }


def test_data_outlives_its_stack_but_not_a_first_deployment_that_fails(assembly: Assembly, prod: Assembly) -> None:
    kept = ("RetainExceptOnCreate", "Retain")
    assert stateful(assembly) == {
        ("AWS::S3::Bucket", *kept),
        ("AWS::KMS::Key", *kept),
        ("AWS::Logs::LogGroup", *kept),
        # A protected table cannot be deleted in a rollback.
        ("AWS::DynamoDB::Table", "Retain", "Retain"),
    }
    assert {(deletion, replacement) for _, deletion, replacement in stateful(prod)} == {("Delete", "Delete")}


def test_no_custom_resource_empties_a_bucket(assembly: Assembly, prod: Assembly) -> None:
    for found in (assembly, prod):
        kinds = {item["Type"] for template in found.templates.values() for item in template["Resources"].values()}
        assert not {kind for kind in kinds if kind.startswith("Custom::")}
