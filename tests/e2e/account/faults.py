"""Faults to inject into a deployed stage: context managers that break a part of it, and repair it at the end."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cli.doctor.stage import DeployedStage
from embedded.images.registry import record_image
from tests.e2e.stage import Stage

Fault = Callable[[Stage, DeployedStage], Any]


def quota(name: str, value: float) -> Fault:
    @contextmanager
    def fault(stage: Stage, _deployed: DeployedStage) -> Iterator[None]:
        client = stage.client("service-quotas")
        pages = client.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
        found = next(item for page in pages for item in page["Quotas"] if item["QuotaName"] == name)
        change = {"ServiceCode": "sagemaker", "QuotaCode": found["QuotaCode"]}
        client.request_service_quota_increase(**change, DesiredValue=value)
        yield
        client.request_service_quota_increase(**change, DesiredValue=found["Value"])

    return fault


@contextmanager
def no_image(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
    uri = deployed.images["core"]
    repository, _, tag = uri.partition("/")[2].rpartition(":")
    stage.client("ecr").batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": tag}])
    yield
    record_image(uri, stage.client("ecr"))


def trust(change: Callable[[dict[str, Any]], None]) -> Fault:
    @contextmanager
    def fault(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
        iam, name = stage.client("iam"), role_name(deployed.job_role_arn)
        before = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        changed = json.loads(json.dumps(before))
        change(changed["Statement"][0])
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(changed))
        yield
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(before))

    return fault


def policy(change: Callable[[list[dict[str, Any]]], None], role: str = "job") -> Fault:
    @contextmanager
    def fault(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
        iam = stage.client("iam")
        arn = deployed.job_role_arn if role == "job" else deployed.functions[role]["Role"]
        name = role_name(arn)
        policy_name = iam.list_role_policies(RoleName=name)["PolicyNames"][0]
        before = iam.get_role_policy(RoleName=name, PolicyName=policy_name)["PolicyDocument"]
        changed = json.loads(json.dumps(before))
        change(changed["Statement"])
        iam.put_role_policy(RoleName=name, PolicyName=policy_name, PolicyDocument=json.dumps(changed))
        yield
        iam.put_role_policy(RoleName=name, PolicyName=policy_name, PolicyDocument=json.dumps(before))

    return fault


@contextmanager
def boundary(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
    iam, name = stage.client("iam"), role_name(deployed.job_role_arn)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    arn = iam.create_policy(PolicyName="boundary", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=arn)
    yield
    iam.delete_role_permissions_boundary(RoleName=name)
    iam.delete_policy(PolicyArn=arn)


@contextmanager
def no_logs_in_key_policy(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
    kms = stage.client("kms")
    before = kms.get_key_policy(KeyId=deployed.key_arn, PolicyName="default")["Policy"]
    kept = [item for item in json.loads(before)["Statement"] if "logs." not in json.dumps(item["Principal"])]
    changed = json.dumps({"Version": "2012-10-17", "Statement": kept})
    kms.put_key_policy(KeyId=deployed.key_arn, PolicyName="default", Policy=changed)
    yield
    kms.put_key_policy(KeyId=deployed.key_arn, PolicyName="default", Policy=before)


@contextmanager
def disabled_key(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
    stage.client("kms").disable_key(KeyId=deployed.key_arn)
    yield
    stage.client("kms").enable_key(KeyId=deployed.key_arn)


@contextmanager
def no_rotation(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
    stage.client("kms").disable_key_rotation(KeyId=deployed.key_arn)
    yield
    stage.client("kms").enable_key_rotation(KeyId=deployed.key_arn)


def bucket(part: str, delete: str, put: str, argument: str, answer: str = "") -> Fault:
    """Return a fault that removes a part of the results bucket's configuration."""

    @contextmanager
    def fault(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
        s3, name = stage.client("s3"), deployed.buckets["results"]
        before = getattr(s3, f"get_{part}")(Bucket=name)[answer or argument]
        if argument == "LifecycleConfiguration":
            before = {"Rules": before}
        getattr(s3, delete)(Bucket=name)
        yield
        getattr(s3, put)(Bucket=name, **{argument: before})

    return fault


@contextmanager
def no_versions(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
    s3, name = stage.client("s3"), deployed.buckets["results"]
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    yield
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


@contextmanager
def no_events(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
    s3, name = stage.client("s3"), deployed.buckets["datasets"]
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={})
    yield
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}})


@contextmanager
def disabled_rule(stage: Stage, deployed: DeployedStage) -> Iterator[None]:
    name = next(item.physical_id for item in deployed.of_type("AWS::Events::Rule") if "Closing" in item.logical_id)
    stage.client("events").disable_rule(Name=name)
    yield
    stage.client("events").enable_rule(Name=name)


def role_name(arn: str) -> str:
    return arn.rpartition("/")[2]


def without(action: str) -> Callable[[list[dict[str, Any]]], None]:
    def change(statements: list[dict[str, Any]]) -> None:
        statements[:] = [found for found in statements if action not in found["Action"]]

    return change


def also(action: str) -> Callable[[list[dict[str, Any]]], None]:
    return lambda statements: statements.append({"Effect": "Allow", "Action": action, "Resource": "*"})
