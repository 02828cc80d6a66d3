"""The conditions in the real templates, as the embedded AWS evaluates them."""

from collections.abc import Callable
from typing import Any

import ministack.app
import pytest

from embedded.ministack.iam.identity import authorize
from embedded.sagemaker.requests.condition_keys import condition_keys
from tests.unit.infra.assembly import Assembly, flat

Role = Callable[..., str]
KEY = "<fleetscore-{}-KeyArn>"
REGION = "<AWS::Region>"
JOBS = "arn:aws:sagemaker:<AWS::Region>:<AWS::AccountId>:{}-job/{}-any"
TABLE = "arn:aws:dynamodb:<AWS::Region>:<AWS::AccountId>:table/<fleetscore-dev-TableName>"


@pytest.fixture(autouse=True)
def enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ministack.app, "AUTH", True)


def rendered(value: Any) -> Any:
    """Replace the references in a policy by readable texts."""
    if isinstance(value, list):
        return [rendered(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")):
            return flat(value)
        return {name: rendered(item) for name, item in value.items()}
    return value


def statements(found: Assembly, policy: str) -> list[dict[str, Any]]:
    chosen = [rendered(item) for name, item in found.statements() if name == f"{policy}RoleDefaultPolicy"]
    assert chosen
    return chosen


def processing(**cluster: Any) -> dict[str, Any]:
    stage = cluster.pop("stage", "dev")
    return {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.xlarge", "VolumeKmsKeyId": KEY.format(stage), **cluster}
        },
        "ProcessingOutputConfig": {"KmsKeyId": KEY.format(stage)},
        "NetworkConfig": {"EnableNetworkIsolation": True},
    }


def training(**resources: Any) -> dict[str, Any]:
    return {
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "VolumeKmsKeyId": KEY.format("dev"), **resources},
        "OutputDataConfig": {"KmsKeyId": KEY.format("dev")},
        "EnableNetworkIsolation": True,
    }


@pytest.mark.parametrize(
    ("role_name", "kind", "request_of"),
    [("StateMachine", "Processing", processing), ("TrainingStateMachine", "Training", training)],
)
def test_only_isolated_encrypted_jobs_of_allowed_types_may_be_created(
    assembly: Assembly,
    role: Role,
    role_name: str,
    kind: str,
    request_of: Callable[..., dict[str, Any]],
) -> None:
    arn = role("machine", "states.amazonaws.com", *statements(assembly, f"workflow/{role_name}"))

    def allowed(request: dict[str, Any]) -> bool:
        job = JOBS.format(kind.lower(), "dev")
        return authorize(arn, f"sagemaker:Create{kind}Job", job, condition_keys(request))

    no_output_key = {**request_of(), "ProcessingOutputConfig": {}, "OutputDataConfig": {}}
    connected = {**request_of(), "NetworkConfig": {}, "EnableNetworkIsolation": False}
    assert allowed(request_of())
    assert allowed(request_of(InstanceType="ml.g5.xlarge", VolumeKmsKeyId=None)), "local storage takes no key"
    assert not allowed(connected)
    assert not allowed(no_output_key)
    assert not allowed(request_of(VolumeKmsKeyId=None))
    assert not allowed(request_of(VolumeKmsKeyId="another key"))
    assert not allowed(request_of(InstanceType="ml.p4d.24xlarge"))
    assert not allowed(request_of(InstanceType=None)), "a list of types without any"
    assert not authorize(arn, f"sagemaker:Create{kind}Job", JOBS.format(kind.lower(), "dev"))


def test_jobs_of_a_stage_with_a_vpc_must_be_in_it(prod: Assembly, role: Role) -> None:
    arn = role("machine", "states.amazonaws.com", *statements(prod, "workflow/StateMachine"))
    job = "arn:aws:sagemaker:eu-central-1:123456789012:processing-job/prod-any"

    def allowed(**vpc: Any) -> bool:
        request = processing(stage="prod")
        network = {**request["NetworkConfig"], **({"VpcConfig": vpc} if vpc else {})}
        keys = condition_keys({**request, "NetworkConfig": network})
        return authorize(arn, "sagemaker:CreateProcessingJob", job, keys)

    subnet, group = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"
    assert allowed(Subnets=[subnet], SecurityGroupIds=[group])
    assert not allowed()
    assert not allowed(Subnets=[subnet, "subnet-another"], SecurityGroupIds=[group])


WRITERS = {
    "EXECUTION#e-1": {
        "PlanExecution", "RecordAttempt", "VerifyOutput", "ClassifyFailure", "SummarizeExecution", "PrepareTraining",
        "PlanTraining", "RegisterModelVersion", "Reconcile",
    },
    "LATEST#flights": {"SummarizeExecution", "Reconcile"},
    "RECONCILIATION": {"Reconcile"},
    "MODEL#delays": {"RegisterModelVersion"},
    "FLEET#delays": set(),
    "UPLOADS#flights": {"UploadsStartOnUpload"},
    "UPLOAD#flights/a.parquet": {"UploadsStartOnUpload"},
}  # fmt: skip
"""Functions that may write items, by partition key."""


@pytest.mark.parametrize("partition", WRITERS)
def test_only_these_functions_write_an_item(assembly: Assembly, role: Role, partition: str) -> None:
    names = {
        name.removesuffix("RoleDefaultPolicy")
        for name, statement in assembly.statements()
        if "dynamodb:PutItem" in statement["Action"]
    }
    writers = set()
    for number, name in enumerate(sorted(names)):
        arn = role(f"function{number}", "lambda.amazonaws.com", *statements(assembly, name))
        if authorize(arn, "dynamodb:PutItem", TABLE, {"dynamodb:LeadingKeys": [partition]}):
            writers.add(name.partition("/")[2])
        both = {"dynamodb:LeadingKeys": [partition, "OTHER#1"]}
        assert not authorize(arn, "dynamodb:PutItem", TABLE, both), "one allowed item carries no other"
    assert writers == WRITERS[partition]


def test_no_function_may_read_the_table_without_naming_keys(assembly: Assembly) -> None:
    """The condition on the keys is also true for a request without keys."""
    actions = {
        action
        for _, statement in assembly.statements()
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
    }
    assert not {action for action in actions if action.startswith(("dynamodb:Scan", "dynamodb:PartiQL"))}


@pytest.mark.parametrize("name", ["workflow/PlanExecution", "compute/Job", "compute/Training"])
def test_a_role_uses_the_key_through_services_only(assembly: Assembly, role: Role, name: str) -> None:
    policy = "compute/TrainingRole" if name == "compute/Training" else name
    arn = role("user", "lambda.amazonaws.com", *statements(assembly, policy.removesuffix("Role")))
    key = KEY.format("dev")
    assert authorize(arn, "kms:Decrypt", key, {"kms:ViaService": f"s3.{REGION}.<AWS::URLSuffix>"})
    assert not authorize(arn, "kms:Decrypt", key)
    assert not authorize(arn, "kms:Decrypt", key, {"kms:ViaService": f"sqs.{REGION}.<AWS::URLSuffix>"})
