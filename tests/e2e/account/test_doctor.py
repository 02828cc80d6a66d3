"""`fleetscore doctor` finds each fault that is injected into the deployed stage, and nothing without one."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from cli.command_line.program import run
from cli.doctor.checks import stage_checks
from cli.doctor.clock import clock_findings
from cli.doctor.findings import Finding, Level, run_checks
from cli.doctor.images import image_checks
from cli.doctor.network import group_findings, s3_findings, subnet_findings
from cli.doctor.quotas import function_findings
from cli.doctor.schedules import name_findings
from cli.doctor.stage import DeployedStage, Network
from cli.doctor.workflow import function_findings as functions_of_workflow
from cli.doctor.workflow import layer_findings, machine_findings
from cli.failures import ExitStatus
from cli.stage.connection import Connection
from cli.stage.schedules import Schedules
from contract import environment
from contract.triggers.schedules import Schedule
from tests.e2e.account.documented_policy import POLICY, connection_of, person
from tests.e2e.account.faults import (
    Fault,
    also,
    boundary,
    bucket,
    disabled_key,
    disabled_rule,
    no_events,
    no_image,
    no_logs_in_key_policy,
    no_rotation,
    no_versions,
    policy,
    quota,
    trust,
    without,
)
from tests.e2e.stage import Stage
from tests.e2e.stage import environment as variables


def findings(deployed: DeployedStage, *names: str, subject: str = "") -> list[Finding]:
    """Carry out the checks with these names, of one subject if it is given."""
    chosen = [check for check in stage_checks(deployed) if check.name in names and subject in ("", check.subject)]
    return list(run_checks(chosen))


FAULTS: list[tuple[str, Fault, Level, str]] = [
    ("quotas.instances", quota("ml.m5.xlarge for processing job usage", 0), Level.ERROR, "the quota is 0: no such job"),
    ("quotas.instances", quota("ml.m5.xlarge for processing job usage", 3), Level.WARNING, "jobs wait for each other"),
    ("quotas.instances", quota("ml.m5.xlarge for training job usage", 0), Level.WARNING, "the quota is 0"),
    ("quotas.instances", quota("Number of instances across all processing jobs", 4), Level.ERROR, "the quota is 4"),
    ("quotas.instances", quota("Longest run time for a processing job", 60), Level.ERROR, "max_runtime_seconds"),
    ("quotas.instances", quota("Size of EBS volume for a processing job instance", 1), Level.ERROR, "volume_size_gb"),
    ("image.present", no_image, Level.ERROR, "not in Amazon ECR"),
    (
        "roles.trust",
        trust(lambda found: found.update(Principal={"Service": "ec2.amazonaws.com"})),
        Level.ERROR,
        "sagemaker.amazonaws.com may not assume it",
    ),
    ("roles.trust", trust(lambda found: found["Principal"].update(AWS="*")), Level.ERROR, "others may assume it"),
    ("roles.trust", trust(lambda found: found.pop("Condition")), Level.WARNING, "for other accounts"),
    ("roles.calls", policy(without("s3:PutObject")), Level.ERROR, "may not call s3:PutObject on"),
    ("roles.calls", policy(without("kms:CreateGrant")), Level.ERROR, "may not call kms:CreateGrant on"),
    ("roles.calls", policy(without("ecr:BatchGetImage")), Level.ERROR, "may not call ecr:BatchGetImage on"),
    ("roles.calls", policy(also("s3:*")), Level.ERROR, "which it must not"),
    ("roles.calls", policy(without("dynamodb:PutItem"), "record_attempt"), Level.ERROR, "call dynamodb:PutItem"),
    ("roles.calls", policy(also("dynamodb:*"), "check_request"), Level.ERROR, "may call dynamodb:Scan"),
    ("roles.calls", boundary, Level.ERROR, "denied by the role's permissions boundary"),
    ("key.usable", disabled_key, Level.ERROR, "the key is Disabled"),
    ("key.usable", no_rotation, Level.WARNING, "not rotated"),
    ("key.policy", no_logs_in_key_policy, Level.ERROR, "without it, functions write no logs"),
    (
        "bucket.encryption",
        bucket(
            "bucket_encryption", "delete_bucket_encryption", "put_bucket_encryption",
            "ServerSideEncryptionConfiguration",
        ),
        Level.ERROR,
        "encrypted with AES256",
    ),
    (
        "bucket.public",
        bucket(
            "public_access_block", "delete_public_access_block", "put_public_access_block",
            "PublicAccessBlockConfiguration",
        ),
        Level.ERROR,
        "public access is not blocked",
    ),
    ("bucket.versioning", no_versions, Level.ERROR, "versions are not kept"),
    (
        "bucket.lifecycle",
        bucket(
            "bucket_lifecycle_configuration", "delete_bucket_lifecycle", "put_bucket_lifecycle_configuration",
            "LifecycleConfiguration", "Rules",
        ),
        Level.WARNING,
        "never deleted",
    ),
    (
        "bucket.transport",
        bucket("bucket_policy", "delete_bucket_policy", "put_bucket_policy", "Policy"),
        Level.ERROR,
        "does not deny requests without TLS",
    ),
    ("bucket.events", no_events, Level.ERROR, "uploads do not reach EventBridge"),
    ("workflow.rules", disabled_rule, Level.ERROR, "the rule is disabled"),
]  # fmt: skip

ROLES = {"call dynamodb:PutItem": "record_attempt", "may call dynamodb:Scan": "check_request"}
"""The role that a fault is about, if it is not the one of scoring jobs."""


@pytest.mark.parametrize("case", FAULTS, ids=[f"{check}-{text}" for check, _, _, text in FAULTS])
def test_each_fault_is_found(stage: Stage, deployed: DeployedStage, case: tuple[str, Fault, Level, str]) -> None:
    check, fault, level, text = case
    role = ROLES.get(text, "scoring jobs")
    with fault(stage, deployed):
        found = findings(deployed, check, subject=role if check.startswith("roles.") else "")
    bad = [finding for finding in found if finding.level is not Level.OK]
    assert any(finding.level is level and text in finding.found for finding in bad), bad
    assert all(finding.remedy for finding in bad)


def test_quotas_of_larger_types_and_volumes_are_compared(stage: Stage, deployed: DeployedStage) -> None:
    """A stage whose attempts may get larger types and volumes, of which the account has none or few."""
    function = deployed.functions["plan_execution"]
    compute = {
        **json.loads(deployed.variable("plan_execution", environment.DEFAULT_COMPUTE)),
        "larger_instance_types": ["ml.m5.2xlarge", "ml.m5.4xlarge", "ml.z9.large"],
    }
    changed = {**function["Environment"]["Variables"], environment.DEFAULT_COMPUTE: json.dumps(compute)}
    functions = {**deployed.functions, "plan_execution": {**function, "Environment": {"Variables": changed}}}
    growing = dataclasses.replace(deployed, functions=functions)
    volumes = "Size of EBS volume for a processing job instance"
    with quota("ml.m5.4xlarge for processing job usage", 0)(stage, growing), quota(volumes, 100)(stage, growing):
        found = findings(growing, "quotas.instances")
    levels = {finding.subject: finding.level for finding in found}
    assert levels["ml.m5.2xlarge for processing job usage"] is Level.OK
    assert levels["ml.m5.4xlarge for processing job usage"] is Level.ERROR
    assert levels["ml.z9.large for processing job usage"] is Level.ERROR
    assert levels["ml.z9.large for spot training job usage"] is Level.WARNING, "a stage may never train"
    texts = "\n".join(f"{finding.found} {finding.remedy}" for finding in found if finding.level is not Level.OK)
    assert "the quota is 0, and an attempt after one that ran out of memory needs 1 of them" in texts
    assert "or remove the type from compute.larger_instance_types in cdk.json" in texts
    assert "compute.max_volume_size_gb is 500, which no attempt can get" in texts


def test_the_stages_part_of_the_quotas_is_compared_with_its_settings_and_the_account(
    stage: Stage, deployed: DeployedStage
) -> None:
    parts = {"ml.m5.xlarge": 3, "training:ml.m5.xlarge": 0, "ml.c5.xlarge": 20, "processing:ml.z9.large": 1}
    function = deployed.functions["record_attempt"]
    changed = {**function["Environment"]["Variables"], environment.INSTANCE_QUOTAS: json.dumps(parts)}
    functions = {**deployed.functions, "record_attempt": {**function, "Environment": {"Variables": changed}}}
    divided = dataclasses.replace(deployed, functions=functions)
    with quota("ml.c5.xlarge for processing job usage", 4)(stage, divided):
        found = findings(divided, "quotas.instances")
    said = {finding.subject: (finding.level, finding.found) for finding in found}
    level, text = said["ml.m5.xlarge for processing job usage"]
    assert level is Level.WARNING
    assert text.startswith("the setting instance_quotas is 3; the settings ask for up to ")
    assert said["ml.m5.xlarge for training job usage"] == (
        Level.WARNING, "the setting instance_quotas is 0: no such job can start",
    )  # fmt: skip
    assert said["instance_quotas: ml.m5.xlarge"][0] is Level.OK
    assert said["instance_quotas: ml.c5.xlarge"][0] is Level.WARNING
    assert "the stage may use 20, and the account's quota is 4" in said["instance_quotas: ml.c5.xlarge"][1]
    assert "the stage may use 1, and the account's quota is 0" in said["instance_quotas: processing:ml.z9.large"][1]


# ---- what no API of the embedded AWS can break ------------------------------------------------------------------


def test_faults_of_functions_and_machines_are_found(deployed: DeployedStage) -> None:
    failed = {**deployed.functions["plan_execution"], "State": "Failed", "StateReason": "the key is disabled"}
    function = next(deployed.of_type("AWS::Lambda::Function"))
    broken = dataclasses.replace(
        deployed,
        functions={**deployed.functions, "plan_execution": failed},
        machines={"scoring": {**deployed.machines["scoring"], "encryptionConfiguration": {}}},
        missing=(function,),
    )
    found = [finding.found for finding in functions_of_workflow(broken) if finding.level is Level.ERROR]
    assert found == ["the function does not exist", "state Failed, last update Successful: the key is disabled"]
    machines = [finding.found for finding in machine_findings(broken)]
    assert machines == ["executions are not encrypted with the stage's key", "the state machine does not exist"]


def test_a_layer_that_lambda_does_not_show_is_an_error(deployed: DeployedStage) -> None:
    arn = "arn:aws:lambda:eu-west-9:017000801446:layer:AWSLambdaPowertoolsPythonV3-python313-arm64:36"
    [finding] = layer_findings(deployed, arn)
    assert finding.level is Level.ERROR
    assert "the version does not exist" in finding.found
    assert "powertools_layer_arn" in finding.remedy


def test_settings_that_ask_for_too_many_functions_or_another_region_are_found(deployed: DeployedStage) -> None:
    variables = dict(deployed.functions["plan_execution"]["Environment"]["Variables"])
    variables[environment.DEFAULT_MAX_CONCURRENCY] = "9000"
    variables[environment.IMAGE_URIS] = json.dumps(
        {"core": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:1", "trees": "a"}
    )
    changed = {**deployed.functions["plan_execution"], "Environment": {"Variables": variables}}
    larger = dataclasses.replace(deployed, functions={**deployed.functions, "plan_execution": changed})
    assert [finding.level for finding in function_findings(larger)] == [Level.WARNING]
    found = [finding.found for finding in findings(larger, "image.present")]
    assert found[0].startswith("it is in eu-west-1")
    assert found[1] == "not an image in Amazon ECR"


@pytest.mark.parametrize(("seconds", "level"), [(0, Level.OK), (60, Level.WARNING), (-400, Level.ERROR)])
def test_a_wrong_clock_is_found(stage: Stage, seconds: int, level: Level) -> None:
    def change_date(parsed: dict[str, Any], **_: Any) -> None:
        date = datetime.now(UTC) + timedelta(seconds=seconds)
        parsed["ResponseMetadata"]["HTTPHeaders"]["date"] = format_datetime(date, usegmt=True)

    connection = Connection()
    connection.session().events.register("after-call.sts.GetCallerIdentity", change_date)
    [finding] = clock_findings(connection)
    assert finding.level is level


# ---- network ----------------------------------------------------------------------------------------------------


class WithEndpointPolicy:
    """A client of EC2 that shows a policy of endpoints, which ministack keeps and does not show."""

    def __init__(self, ec2: Any, document: dict[str, Any]) -> None:
        self._ec2, self._document = ec2, document

    def describe_vpc_endpoints(self, **request: Any) -> Any:
        answer = self._ec2.describe_vpc_endpoints(**request)
        for endpoint in answer["VpcEndpoints"]:
            endpoint["PolicyDocument"] = json.dumps(self._document)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ec2, name)


def test_faults_of_a_vpc_are_found(stage: Stage, deployed: DeployedStage) -> None:
    ec2, region = stage.client("ec2"), stage.aws.endpoint.region
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="jobs", Description="jobs", VpcId=vpc)["GroupId"]
    network = Network((subnet,), (group,))

    [addresses] = subnet_findings(ec2, network, 10)
    assert addresses.level is Level.OK
    assert addresses.found == "251 free addresses; 10 instances at once need 20"
    [few] = subnet_findings(ec2, network, 126)
    assert few.level is Level.WARNING
    [missing] = subnet_findings(ec2, Network(("subnet-00000000",), (group,)), 1)
    assert missing.level is Level.ERROR

    [alone] = group_findings(ec2, network)
    assert alone.level is Level.ERROR
    assert group in alone.remedy
    rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    assert [finding.level for finding in group_findings(ec2, network)] == [Level.OK]
    [unknown] = group_findings(ec2, Network((subnet,), ("sg-00000000",)))
    assert unknown.level is Level.ERROR

    [cut_off] = s3_findings(ec2, network, region)
    assert cut_off.level is Level.ERROR
    assert f"com.amazonaws.{region}.s3" in cut_off.remedy
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    table = ec2.describe_route_tables(Filters=filters)["RouteTables"][0]["RouteTableId"]
    service = f"com.amazonaws.{region}.s3"
    ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=service, RouteTableIds=[table])
    [reached] = s3_findings(ec2, network, region)
    assert reached.level is Level.OK
    for resource, level in (("*", Level.OK), ("arn:aws:s3:::another/*", Level.WARNING)):
        statement = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": resource}
        [found] = s3_findings(WithEndpointPolicy(ec2, {"Statement": [statement]}), network, region)
        assert found.level is level

    definition = json.dumps({"NetworkConfig": {"VpcConfig": {"Subnets": [subnet], "SecurityGroupIds": [group]}}})
    in_vpc = dataclasses.replace(
        deployed, machines={**deployed.machines, "scoring": {**deployed.machines["scoring"], "definition": definition}}
    )
    levels = {finding.check: finding.level for finding in findings(in_vpc, "network.subnets", "network.s3")}
    assert levels == {"network.subnets": Level.OK, "network.s3": Level.OK}


# ---- the command ------------------------------------------------------------------------------------------------


def test_a_fault_is_shown_with_what_to_do(
    stage: Stage, deployed: DeployedStage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.doctor.checks.stage_checks", image_checks)
    with no_image(stage, deployed):
        assert run(["doctor"]) == ExitStatus.FAILED
    shown = capsys.readouterr().out
    assert "not in Amazon ECR (ImageNotFoundException): every job would fail" in shown
    assert "To do: Deploy again with `cdk deploy --all`" in shown
    assert shown.rstrip().splitlines()[-1].startswith("The stage is not ready. ")


def test_a_deployed_stage_is_ready_for_who_has_the_documented_policy(
    stage: Stage, deployed: DeployedStage, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last test: every fault above was repaired."""
    statements = json.loads(POLICY.read_text())["Statement"]
    key = person(stage, deployed, "doctor", statements)
    with variables(key):
        status = run(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert [found for found in report["findings"] if found["level"] != "ok"] == []
    assert report["ready"] is True
    assert status == ExitStatus.SUCCEEDED
    assert all(found["subject"] and found["found"] for found in report["findings"])
    # This stage has no VPC.
    ec2 = connection_of(key, deployed).client("ec2")
    for part in ("subnets", "security_groups", "vpc_endpoints", "route_tables"):
        assert getattr(ec2, f"describe_{part}")()


def test_a_schedule_made_by_hand_is_found_before_a_deployment_would_roll_back(
    stage: Stage, deployed: DeployedStage, tmp_path: Path
) -> None:
    declared = {"schedules": [{"name": "nightly", "expression": "rate(1 day)"}]}
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"fleetscore": declared}}))
    [free] = name_findings(deployed, tmp_path)
    assert (free.level, free.found) == (Level.OK, "the names of all 1 are free or deployed")
    schedules = Schedules(stage.connection, "dev")
    schedules.add(Schedule("nightly", "rate(1 day)", enabled=False))
    [taken] = name_findings(deployed, tmp_path)
    assert (taken.level, taken.subject) == (Level.ERROR, "nightly")
    assert "fleetscore schedules remove nightly" in taken.remedy
    schedules.remove("nightly")
