"""Buckets and the key: encryption, access, lifecycle, and who may use the key."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from cli.doctor.findings import Check, Finding, Report, names
from cli.doctor.policies import as_list, statements_of
from cli.doctor.stage import DeployedStage
from cli.failures import error_code
from contract.json_text import parse_json

_DEPLOY = (
    "Restore the setting by hand, as the stack's template has it: `cdk deploy` changes only what differs from the "
    "template that was deployed last."
)


def storage_checks(stage: DeployedStage) -> Iterator[Check]:
    yield Check("key.usable", "the stage's key", partial(key_findings, stage))
    yield Check("key.policy", "the key's policy", partial(key_policy_findings, stage))
    for kind in stage.buckets:
        for name, function in (
            ("bucket.encryption", encryption_findings),
            ("bucket.public", public_access_findings),
            ("bucket.versioning", versioning_findings),
            ("bucket.lifecycle", lifecycle_findings),
            ("bucket.transport", transport_findings),
        ):
            yield Check(name, f"{kind} bucket", partial(function, stage, kind))
    yield Check("bucket.events", "datasets bucket", partial(event_findings, stage))


def key_findings(stage: DeployedStage) -> Iterator[Finding]:
    kms = stage.client("kms")
    report = Report("key.usable", stage.key_arn)
    try:
        state = kms.describe_key(KeyId=stage.key_arn)["KeyMetadata"]["KeyState"]
    except kms.exceptions.NotFoundException:
        yield report.error(
            "the key does not exist: no data can be read", "Deploy another stage; a key cannot be restored."
        )
        return
    if state != "Enabled":
        remedy = f"Run `aws kms cancel-key-deletion` or `aws kms enable-key --key-id {stage.key_arn}`."
        yield report.error(f"the key is {state}: no data can be read or written", remedy)
        return
    yield report.ok("enabled")
    rotated = Report("key.rotation", stage.key_arn)
    if kms.get_key_rotation_status(KeyId=stage.key_arn)["KeyRotationEnabled"]:
        yield rotated.ok("rotated every year")
    else:
        yield rotated.warning("not rotated", f"Run `aws kms enable-key-rotation --key-id {stage.key_arn}`.")


def key_policy_findings(stage: DeployedStage) -> Iterator[Finding]:
    """Check that the key's policy lets IAM, and the services that use no role, use the key."""
    policy = parse_json(stage.client("kms").get_key_policy(KeyId=stage.key_arn, PolicyName="default")["Policy"])
    statements = list(statements_of(policy, "Allow"))
    root = f"arn:{stage.partition}:iam::{stage.account_id}:root"
    uses = {"kms:Decrypt", "kms:GenerateDataKey"}
    for kind, principal, actions, why in (
        ("AWS", root, {"kms:*"}, "without it, no policy of a role counts"),
        (
            "Service",
            f"logs.{stage.region}.{stage.url_suffix}",
            {"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"},
            "without it, functions write no logs",
        ),
        ("Service", "events.amazonaws.com", uses, "without it, rules cannot send to the encrypted queues"),
        ("Service", "delivery.logs.amazonaws.com", {"kms:Decrypt"}, "without it, state machines write no logs"),
    ):
        report = Report("key.policy", f"{principal} in the key's policy")
        granted = {
            action
            for statement in statements
            if principal in as_list((statement.get("Principal") or {}).get(kind))
            for action in as_list(statement.get("Action"))
        }
        lacking = sorted(actions - granted) if "kms:*" not in granted else []
        if lacking:
            yield report.error(f"it may not use {names(lacking)}: {why}", _DEPLOY)
        else:
            yield report.ok(f"may use {names(sorted(actions))}")


def encryption_findings(stage: DeployedStage, kind: str) -> Iterator[Finding]:
    bucket = stage.buckets[kind]
    report = Report("bucket.encryption", bucket)
    rules = stage.client("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    chosen = rules[0].get("ApplyServerSideEncryptionByDefault", {})
    if chosen.get("SSEAlgorithm") != "aws:kms" or chosen.get("KMSMasterKeyID") not in (
        stage.key_arn,
        stage.key_arn.rpartition("/")[2],
    ):
        found = f"{chosen.get('SSEAlgorithm')} {chosen.get('KMSMasterKeyID', '')}".strip()
        yield report.error(f"new objects are encrypted with {found}, not with the stage's key", _DEPLOY)
    elif not rules[0].get("BucketKeyEnabled"):
        yield report.warning("there is no bucket key, so KMS bills a request per object", _DEPLOY)
    else:
        yield report.ok("new objects are encrypted with the stage's key")


def public_access_findings(stage: DeployedStage, kind: str) -> Iterator[Finding]:
    bucket = stage.buckets[kind]
    report = Report("bucket.public", bucket)
    settings: Mapping[str, bool] = {}
    try:
        settings = stage.client("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if error_code(error) != "NoSuchPublicAccessBlockConfiguration":
            raise
    wanted = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    if missing := [name for name in wanted if not settings.get(name)]:
        yield report.error(f"public access is not blocked: {names(missing)} is off", _DEPLOY)
    else:
        yield report.ok("public access is blocked")


def versioning_findings(stage: DeployedStage, kind: str) -> Iterator[Finding]:
    bucket = stage.buckets[kind]
    report = Report("bucket.versioning", bucket)
    if stage.client("s3").get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled":
        yield report.ok("versions are kept")
    else:
        yield report.error("versions are not kept: replaced and deleted objects cannot be recovered", _DEPLOY)


def lifecycle_findings(stage: DeployedStage, kind: str) -> Iterator[Finding]:
    """Check that old versions and parts of unfinished uploads expire."""
    bucket = stage.buckets[kind]
    report = Report("bucket.lifecycle", bucket)
    rules: list[Mapping[str, Any]] = []
    try:
        rules = stage.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except ClientError as error:
        if error_code(error) != "NoSuchLifecycleConfiguration":
            raise
    on = [rule for rule in rules if rule.get("Status") == "Enabled"]
    parts = any("AbortIncompleteMultipartUpload" in rule for rule in on)
    versions = next((rule["NoncurrentVersionExpiration"] for rule in on if "NoncurrentVersionExpiration" in rule), None)
    if not parts or versions is None:
        missing = [text for text, found in (("old versions", versions), ("unfinished uploads", parts)) if not found]
        yield report.warning(f"{' and '.join(missing)} are never deleted, and you pay for them", _DEPLOY)
    else:
        yield report.ok(f"old versions are deleted after {versions.get('NoncurrentDays')} days")


def transport_findings(stage: DeployedStage, kind: str) -> Iterator[Finding]:
    bucket = stage.buckets[kind]
    report = Report("bucket.transport", bucket)
    policy: Mapping[str, Any] = {}
    try:
        policy = parse_json(stage.client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as error:
        if error_code(error) != "NoSuchBucketPolicy":
            raise
    conditions = [statement.get("Condition") or {} for statement in statements_of(policy, "Deny")]
    if any(str(found.get("Bool", {}).get("aws:SecureTransport")) == "false" for found in conditions):
        yield report.ok("requests without TLS are denied")
    else:
        yield report.error("its policy does not deny requests without TLS", _DEPLOY)


def event_findings(stage: DeployedStage) -> Iterator[Finding]:
    bucket = stage.buckets["datasets"]
    report = Report("bucket.events", bucket)
    if "EventBridgeConfiguration" in stage.client("s3").get_bucket_notification_configuration(Bucket=bucket):
        yield report.ok("uploads reach EventBridge")
    else:
        yield report.error("uploads do not reach EventBridge, so they start no execution", _DEPLOY)
