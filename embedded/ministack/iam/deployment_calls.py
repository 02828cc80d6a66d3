"""The calls that CloudFormation makes for each resource with the deploying role.

AWS publishes the actions per resource type (the `handlers` of the type's schema in the
CloudFormation registry). Actions for properties that the resource does not set are left out, and so
are those of drift detection (the `read` handler).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class DeploymentTarget:
    """The Region and the account that a stack is deployed to."""

    region: str
    account_id: str
    partition: str = "aws"


@dataclass(frozen=True)
class Call:
    """One call that a policy has to allow. The context holds its condition keys, in lower case."""

    action: str
    resource: str
    context: Mapping[str, Any]


@dataclass(frozen=True)
class ResourceType:
    """The actions for one type of resource.

    `by_property` holds actions for creating and updating resources that set a property.
    """

    arn: str
    create: str
    update: str
    delete: str
    by_property: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    """Property with the resource's name; empty if CloudFormation generates the name.
    """
    key: str = ""
    """Property with a KMS key, and what the service does with the key for its caller."""
    key_actions: str = ""
    passed_role: str = ""
    """Property with a role that the service gets."""


_READ_FUNCTION = (
    "lambda:GetFunction lambda:GetFunctionCodeSigningConfig lambda:GetFunctionRecursionConfig "
    "lambda:GetRuntimeManagementConfig"
)
_READ_TABLE = (
    "dynamodb:DescribeTable dynamodb:DescribeContinuousBackups dynamodb:DescribeContributorInsights "
    "dynamodb:DescribeKinesisStreamingDestination dynamodb:DescribeTimeToLive dynamodb:GetResourcePolicy"
)
_USE_KEY = "kms:Decrypt kms:DescribeKey kms:GenerateDataKey"

TYPES: Mapping[str, ResourceType] = {
    "AWS::CloudWatch::Alarm": ResourceType(
        arn="cloudwatch:{region}:{account}:alarm:{name}",
        create="cloudwatch:PutMetricAlarm cloudwatch:DescribeAlarms",
        update="cloudwatch:PutMetricAlarm cloudwatch:DescribeAlarms cloudwatch:UntagResource",
        delete="cloudwatch:DeleteAlarms cloudwatch:DescribeAlarms",
        by_property={"Tags": "cloudwatch:TagResource"},
        name="AlarmName",
    ),
    "AWS::DynamoDB::Table": ResourceType(
        arn="dynamodb:{region}:{account}:table/{name}",
        create=f"dynamodb:CreateTable {_READ_TABLE}",
        update=f"dynamodb:UpdateTable dynamodb:UntagResource {_READ_TABLE}",
        delete="dynamodb:DeleteTable dynamodb:DescribeTable",
        by_property={
            "Tags": "dynamodb:TagResource dynamodb:ListTagsOfResource",
            "PointInTimeRecoverySpecification": "dynamodb:UpdateContinuousBackups",
            "TimeToLiveSpecification": "dynamodb:UpdateTimeToLive",
        },
        name="TableName",
        key="SSESpecification",
        key_actions="kms:CreateGrant kms:Decrypt kms:DescribeKey kms:Encrypt",
    ),
    "AWS::Events::EventBus": ResourceType(
        arn="events:{region}:{account}:event-bus/{name}",
        create="events:CreateEventBus events:DescribeEventBus",
        update="events:UpdateEventBus events:DescribeEventBus events:UntagResource",
        delete="events:DeleteEventBus events:DescribeEventBus events:ListTagsForResource events:RemovePermission",
        by_property={"Tags": "events:TagResource events:ListTagsForResource", "Policy": "events:PutPermission"},
        name="Name",
        key="KmsKeyIdentifier",
        key_actions=_USE_KEY,
    ),
    "AWS::Events::Rule": ResourceType(
        arn="events:{region}:{account}:rule/{name}",
        create="events:PutRule events:DescribeRule",
        update="events:PutRule events:DescribeRule events:RemoveTargets events:UntagResource",
        delete="events:DeleteRule events:DescribeRule events:ListTargetsByRule events:RemoveTargets",
        by_property={"Tags": "events:TagResource", "Targets": "events:PutTargets"},
        name="Name",
    ),
    "AWS::IAM::Policy": ResourceType(
        arn="iam::{account}:role/{role}",
        create="iam:PutRolePolicy iam:GetRolePolicy",
        update="iam:PutRolePolicy iam:DeleteRolePolicy",
        delete="iam:DeleteRolePolicy",
    ),
    "AWS::IAM::Role": ResourceType(
        arn="iam::{account}:role/{name}",
        create="iam:CreateRole iam:GetRole",
        update="iam:UpdateRole iam:UpdateRoleDescription iam:UpdateAssumeRolePolicy iam:UntagRole",
        delete="iam:DeleteRole iam:GetRole iam:ListAttachedRolePolicies iam:ListRolePolicies",
        by_property={
            "Tags": "iam:TagRole",
            "Policies": "iam:PutRolePolicy iam:GetRolePolicy",
            "ManagedPolicyArns": "iam:AttachRolePolicy iam:DetachRolePolicy",
        },
        name="RoleName",
    ),
    "AWS::KMS::Key": ResourceType(
        arn="kms:{region}:{account}:key/{name}",
        create="kms:CreateKey kms:PutKeyPolicy",
        update="kms:DescribeKey kms:ListResourceTags kms:PutKeyPolicy kms:UntagResource kms:UpdateKeyDescription",
        delete="kms:DescribeKey kms:ScheduleKeyDeletion",
        by_property={"Tags": "kms:TagResource", "EnableKeyRotation": "kms:EnableKeyRotation"},
    ),
    "AWS::Lambda::EventInvokeConfig": ResourceType(
        arn="lambda:{region}:{account}:function:{function}",
        create="lambda:PutFunctionEventInvokeConfig",
        update="lambda:UpdateFunctionEventInvokeConfig",
        delete="lambda:DeleteFunctionEventInvokeConfig",
    ),
    "AWS::Lambda::EventSourceMapping": ResourceType(
        arn="lambda:{region}:{account}:event-source-mapping:{name}",
        create="lambda:CreateEventSourceMapping lambda:GetEventSourceMapping",
        update="lambda:UpdateEventSourceMapping lambda:GetEventSourceMapping lambda:UntagResource",
        delete="lambda:DeleteEventSourceMapping lambda:GetEventSourceMapping",
        by_property={"Tags": "lambda:TagResource"},
    ),
    "AWS::Lambda::Function": ResourceType(
        arn="lambda:{region}:{account}:function:{name}",
        create=f"lambda:CreateFunction {_READ_FUNCTION}",
        update=f"lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration lambda:UntagResource {_READ_FUNCTION}",
        delete="lambda:DeleteFunction lambda:GetFunction",
        by_property={"Tags": "lambda:TagResource"},
        name="FunctionName",
        key="KmsKeyArn",
        key_actions=f"kms:CreateGrant kms:Encrypt {_USE_KEY}",
        passed_role="Role",
    ),
    "AWS::Lambda::Permission": ResourceType(
        arn="lambda:{region}:{account}:function:{function}",
        create="lambda:AddPermission",
        update="lambda:AddPermission lambda:RemovePermission",
        delete="lambda:RemovePermission",
    ),
    "AWS::Logs::LogGroup": ResourceType(
        arn="logs:{region}:{account}:log-group:{name}",
        create="logs:CreateLogGroup logs:DescribeLogGroups",
        update="logs:DescribeLogGroups logs:ListTagsForResource logs:UntagResource",
        delete="logs:DeleteLogGroup logs:DescribeLogGroups",
        by_property={
            "Tags": "logs:TagResource",
            "RetentionInDays": "logs:PutRetentionPolicy",
            "KmsKeyId": "logs:AssociateKmsKey",
        },
        name="LogGroupName",
    ),
    "AWS::S3::Bucket": ResourceType(
        arn="s3:::{name}",
        create="s3:CreateBucket s3:ListBucket",
        update="s3:ListBucket",
        delete="s3:DeleteBucket s3:ListBucket",
        by_property={
            "BucketEncryption": "s3:PutEncryptionConfiguration",
            "LifecycleConfiguration": "s3:PutLifecycleConfiguration",
            "LoggingConfiguration": "s3:PutBucketLogging",
            "NotificationConfiguration": "s3:PutBucketNotification",
            "OwnershipControls": "s3:PutBucketOwnershipControls",
            "PublicAccessBlockConfiguration": "s3:PutBucketPublicAccessBlock",
            "Tags": "s3:PutBucketTagging s3:TagResource s3:UntagResource",
            "VersioningConfiguration": "s3:PutBucketVersioning",
        },
        name="BucketName",
    ),
    "AWS::S3::BucketPolicy": ResourceType(
        arn="s3:::{bucket}",
        create="s3:GetBucketPolicy s3:PutBucketPolicy",
        update="s3:GetBucketPolicy s3:PutBucketPolicy",
        delete="s3:DeleteBucketPolicy s3:GetBucketPolicy",
    ),
    "AWS::SQS::Queue": ResourceType(
        arn="sqs:{region}:{account}:{name}",
        create="sqs:CreateQueue sqs:GetQueueAttributes sqs:GetQueueUrl",
        update="sqs:SetQueueAttributes sqs:GetQueueAttributes sqs:UntagQueue",
        delete="sqs:DeleteQueue sqs:GetQueueAttributes",
        by_property={"Tags": "sqs:ListQueueTags sqs:TagQueue"},
        name="QueueName",
    ),
    "AWS::SQS::QueuePolicy": ResourceType(
        arn="sqs:{region}:{account}:{queue}",
        create="sqs:SetQueueAttributes",
        update="sqs:SetQueueAttributes",
        delete="sqs:SetQueueAttributes",
    ),
    "AWS::Scheduler::Schedule": ResourceType(
        arn="scheduler:{region}:{account}:schedule/{group}/{name}",
        create="scheduler:CreateSchedule scheduler:GetSchedule",
        update="scheduler:UpdateSchedule scheduler:GetSchedule",
        delete="scheduler:DeleteSchedule scheduler:GetSchedule",
        name="Name",
        key="KmsKeyArn",
        key_actions=_USE_KEY,
        passed_role="Target",
    ),
    "AWS::Scheduler::ScheduleGroup": ResourceType(
        arn="scheduler:{region}:{account}:schedule-group/{name}",
        create="scheduler:CreateScheduleGroup scheduler:GetScheduleGroup",
        update="scheduler:GetScheduleGroup scheduler:UntagResource",
        delete="scheduler:DeleteScheduleGroup scheduler:GetScheduleGroup",
        by_property={"Tags": "scheduler:ListTagsForResource scheduler:TagResource"},
        name="Name",
    ),
    "AWS::StepFunctions::StateMachine": ResourceType(
        arn="states:{region}:{account}:stateMachine:{name}",
        create="states:CreateStateMachine states:DescribeStateMachine",
        update="states:UpdateStateMachine states:DescribeStateMachine states:ListTagsForResource states:UntagResource",
        delete="states:DeleteStateMachine states:DescribeStateMachine",
        by_property={"Tags": "states:TagResource"},
        name="StateMachineName",
        key="EncryptionConfiguration",
        key_actions=_USE_KEY,
        passed_role="RoleArn",
    ),
}

_WITHOUT_RESOURCE = {
    "cloudwatch:DescribeAlarms",
    "kms:CreateKey",
    "lambda:CreateEventSourceMapping",
    "logs:DescribeLogGroups",
}
_BOOTSTRAP_PARAMETER = "ssm:{region}:{account}:parameter/cdk-bootstrap/hnb659fds/version"


def bootstrap_calls(target: DeploymentTarget) -> list[Call]:
    """Return the calls that CloudFormation makes for each stack of a CDK app."""
    return [Call("ssm:GetParameters", _arn(_BOOTSTRAP_PARAMETER, target), {})]


def resource_calls(
    kind: str, operation: str, properties: Mapping[str, Any], target: DeploymentTarget, generated_name: str
) -> list[Call]:
    """Return the calls that create, update or delete one resource; empty for an unlisted type.

    Args:
        properties: Properties of the resource, with or without resolved references.
        generated_name: Name of a resource without a name property, also used for unresolved
            references.
    """
    found = TYPES.get(kind)
    if found is None:
        return []
    arn = _arn(found.arn, target, **_names(found, properties, generated_name))
    actions = {"create": found.create, "update": found.update, "delete": found.delete}[operation].split()
    if operation != "delete":
        actions += [
            each for name in found.by_property if name in properties for each in found.by_property[name].split()
        ]
    context = {**_tags(properties), **_own_keys(kind, properties, target, generated_name)}
    calls = [Call(each, "*" if each in _WITHOUT_RESOURCE else arn, context) for each in dict.fromkeys(actions)]
    return (
        calls if operation == "delete" else [*calls, *_other_resources(kind, found, properties, target, generated_name)]
    )


def _names(found: ResourceType, properties: Mapping[str, Any], generated_name: str) -> dict[str, str]:
    name = _text(properties.get(found.name), generated_name) if found.name else generated_name
    roles, queues = properties.get("Roles") or [""], properties.get("Queues") or [""]
    return {
        "name": generated_name.lower() if found.name == "BucketName" and name == generated_name else name,
        "role": _text(roles[0], generated_name),
        "queue": _text(queues[0], generated_name).rpartition("/")[2],
        "bucket": _text(properties.get("Bucket"), generated_name.lower()),
        "function": _text(properties.get("FunctionName"), generated_name).rpartition("function:")[2],
        "group": _text(properties.get("GroupName"), generated_name),
    }


def _other_resources(
    kind: str, found: ResourceType, properties: Mapping[str, Any], target: DeploymentTarget, generated_name: str
) -> Iterator[Call]:
    service = kind.split("::")[1].lower()
    service = {"stepfunctions": "states"}.get(service, service)
    if found.passed_role:
        role = properties.get(found.passed_role)
        role = role.get("RoleArn") if isinstance(role, dict) and "RoleArn" in role else role
        arn = _text(role, _arn("iam::{account}:role/{name}", target, name=generated_name))
        yield Call("iam:PassRole", arn, {"iam:passedtoservice": f"{service}.amazonaws.com"})
    if found.key and found.key in properties:
        value = properties[found.key]
        for member in ("KMSMasterKeyId", "KmsKeyId"):
            value = value.get(member, value) if isinstance(value, dict) else value
        key = _text(value, _arn("kms:{region}:{account}:key/{name}", target, name="key"))
        for action in found.key_actions.split():
            yield Call(action, key, {"kms:viaservice": f"{service}.{target.region}.amazonaws.com"})
    if kind == "AWS::Lambda::Function":
        code = properties.get("Code", {})
        bucket = _text(code.get("S3Bucket"), f"cdk-hnb659fds-assets-{target.account_id}-{target.region}")
        yield Call(
            "s3:GetObject", _arn("s3:::{name}", target, name=f"{bucket}/{_text(code.get('S3Key'), 'x.zip')}"), {}
        )
        for layer in properties.get("Layers", []):
            default = (
                f"arn:{target.partition}:lambda:{target.region}:017000801446:layer:AWSLambdaPowertoolsPythonV3-x:1"
            )
            yield Call("lambda:GetLayerVersion", _text(layer, default), {})


def _own_keys(
    kind: str, properties: Mapping[str, Any], target: DeploymentTarget, generated_name: str
) -> dict[str, str]:
    if kind != "AWS::Lambda::EventSourceMapping":
        return {}
    name = _text(properties.get("FunctionName"), generated_name).rpartition("function:")[2]
    return {"lambda:functionarn": _arn("lambda:{region}:{account}:function:{name}", target, name=name)}


def _tags(properties: Mapping[str, Any]) -> dict[str, str]:
    tags = properties.get("Tags")
    if not isinstance(tags, list):
        return {}
    return {
        f"aws:{where}tag/{tag['Key'].lower()}": str(tag["Value"]) for tag in tags for where in ("request", "resource")
    }


def _arn(pattern: str, target: DeploymentTarget, **names: str) -> str:
    return f"arn:{target.partition}:{pattern.format(region=target.region, account=target.account_id, **names)}"


def _text(value: Any, default: str) -> str:
    return value if isinstance(value, str) and value else default
