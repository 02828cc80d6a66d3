"""Calls of the roles of the state machines."""

from collections.abc import Iterator, Sequence
from typing import Any

from cli.doctor.roles.calls import EXECUTION, LAMBDA, SAGEMAKER, USE_KEY, Call, CallMaker
from cli.doctor.stage import DeployedStage
from contract import layout
from contract.catalog.instance_types import has_local_storage
from contract.table.records import EXECUTION_PARTITIONS

_MAP_LABELS = {"scoring": "ScoreModels", "training": "TrainModels"}
"""Label of each workflow's Map, in the keys of its results."""


def workflow_calls(make: CallMaker, kind: str) -> Iterator[Call]:
    stage = make.stage
    machine = str(stage.machines[kind]["stateMachineArn"])
    name = machine.rpartition(":")[2]
    rules = []
    if kind == "scoring":
        yield from _job_calls(make, "Processing", stage.job_role_arn)
        # Those that score on spot capacity.
        yield from _job_calls(make, "Training", stage.spot_role_arn)
        rules.append("StepFunctionsGetEventsForStepFunctionsExecutionRule")
        yield Call(("states:StartExecution",), stage.deployment.training_state_machine_arn)
        training = stage.deployment.training_state_machine_arn.rpartition(":")[2]
        yield Call(
            ("states:DescribeExecution", "states:StopExecution"), stage.arn("states", f"execution:{training}:one")
        )
    else:
        yield from _job_calls(make, "Training", stage.training_role_arn)
    for rule in rules:
        arn = stage.arn("events", f"rule/{rule}")
        yield Call(("events:PutTargets", "events:PutRule", "events:DescribeRule"), arn)
    for function in sorted(_called_functions(stage, kind)):
        yield Call(("lambda:InvokeFunction",), function)
    # The children of the Map.
    yield Call(("states:StartExecution",), machine)
    yield Call(("states:DescribeExecution", "states:StopExecution"), stage.arn("states", f"execution:{name}:one"))
    yield Call(("s3:GetObject",), f"{make.results}/{layout.jobs_key(EXECUTION)}")
    # A failure that ClassifyFailure could not record.
    yield make.items(EXECUTION_PARTITIONS, "UpdateItem")
    yield make.key("dynamodb", "kms:Decrypt")
    results = f"{make.results}/{layout.map_runs_prefix(_MAP_LABELS[kind])}/doctor/manifest.json"
    yield Call(("s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"), results)
    yield make.key("s3", *USE_KEY)
    yield Call(USE_KEY, stage.key_arn, {"kms:EncryptionContext:aws:states:stateMachineArn": machine})
    logs = {"kms:EncryptionContext:SourceArn": stage.arn("logs", "*")}
    yield Call(("kms:GenerateDataKey",), stage.key_arn, logs)
    yield Call(
        (
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
        )
    )
    yield Call(("xray:PutTraceSegments", "xray:PutTelemetryRecords"))
    yield make.never("s3:GetObject", f"{make.datasets}/doctor/part-0.parquet")


def _job_calls(make: CallMaker, word: str, role: str) -> Iterator[Call]:
    """Yield the calls that create, watch and stop a kind of SageMaker job with a role."""
    stage = make.stage
    job = stage.arn("sagemaker", f"{word.lower()}-job/{stage.name}-doctor")
    create = f"sagemaker:Create{word}Job"
    right = _creation(make)
    yield Call((create,), job, right)
    for wrong in (
        {"sagemaker:NetworkIsolation": False},
        {"sagemaker:OutputKmsKey": stage.arn("kms", "key/another")},
        {"sagemaker:InstanceTypes": ["ml.none.large"]},
    ):
        yield Call((create,), job, {**right, **wrong}, is_allowed=False)
    other = stage.arn("sagemaker", f"{word.lower()}-job/another-job")
    yield Call((create,), other, right, is_allowed=False)
    manage = (f"sagemaker:Describe{word}Job", f"sagemaker:Stop{word}Job", "sagemaker:AddTags", "sagemaker:ListTags")
    yield Call(manage, job)
    yield Call(("iam:PassRole",), role, {"iam:PassedToService": SAGEMAKER})
    yield make.never("iam:PassRole", role, **{"iam:PassedToService": LAMBDA})
    rule = stage.arn("events", f"rule/StepFunctionsGetEventsForSageMaker{word}JobsRule")
    yield Call(("events:PutTargets", "events:PutRule", "events:DescribeRule"), rule)


def _creation(make: CallMaker) -> dict[str, Any]:
    stage = make.stage
    instance_type = str(stage.compute.instance_type)
    context: dict[str, Any] = {
        "sagemaker:NetworkIsolation": True,
        "sagemaker:InstanceTypes": [instance_type],
        "sagemaker:OutputKmsKey": stage.key_arn,
    }
    if not has_local_storage(instance_type):
        context["sagemaker:VolumeKmsKey"] = stage.key_arn
    if stage.network is not None:
        context["sagemaker:VpcSubnets"] = list(stage.network.subnet_ids)
        context["sagemaker:VpcSecurityGroupIds"] = list(stage.network.security_group_ids)
    return context


def _called_functions(stage: DeployedStage, kind: str) -> Sequence[str]:
    """Return the ARNs of the functions that a state machine's definition names."""
    definition = str(stage.machines[kind]["definition"])
    return [str(found["FunctionArn"]) for found in stage.functions.values() if str(found["FunctionArn"]) in definition]
