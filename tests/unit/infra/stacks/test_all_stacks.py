"""Rules for all stacks together: least privilege, names, and checks."""

import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_s3 as s3

from app import build_app
from contract import environment
from contract.problems import InvalidInputError
from tests.unit.infra.assembly import Assembly, flat
from tests.unit.infra.conftest import Synthesize

OUTPUTS = {
    "storage": {"DatasetsBucket", "ModelsBucket", "ResultsBucket", "TableName", "KeyArn", "TableStreamArn"},
    "compute": {"ImageUri", "JobRoleArn", "SpotRoleArn", "TrainingRoleArn"},
    "workflow": {"StateMachineArn", "TrainingStateMachineArn", "CheckFunctionArn", "EventBusName", "EventBusArn"},
    "triggers": {"ScheduleGroup", "ScheduleTargetArn", "ScheduleRoleArn", "ScheduleDeadLettersArn", "UploadRules"},
}

# Construct ids of the functions in the workflow stack.
WORKFLOW_FUNCTIONS = {
    "PlanExecution",
    "RecordAttempt",
    "VerifyOutput",
    "ClassifyFailure",
    "SummarizeExecution",
    "PrepareTraining",
    "PlanTraining",
    "RegisterModelVersion",
    "CheckRequest",
    "Reconcile",
    "AnnouncementsAnnounceStatus",
}

# Actions for which AWS defines no resources, so their resource can only be "*".
WITHOUT_RESOURCE = {
    "cloudwatch:PutMetricData", "dynamodb:ListStreams",
    "ecr:GetAuthorizationToken", "logs:CreateLogDelivery", "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "logs:GetLogDelivery", "logs:ListLogDeliveries",
    "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
    "sagemaker:ListProcessingJobs", "sagemaker:ListTrainingJobs",
    "servicequotas:ListAWSDefaultServiceQuotas",
    "servicequotas:ListServiceQuotas",
    "xray:GetSamplingRules", "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords", "xray:PutTraceSegments",
}  # fmt: skip


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("stack", OUTPUTS)
def test_stack_outputs(assembly: Assembly, stack: str) -> None:
    assert set(assembly.template(stack).get("Outputs", {})) == OUTPUTS[stack]


def test_no_policy_has_a_wildcard_action(assembly: Assembly, prod: Assembly) -> None:
    for found in (assembly, prod):
        actions = [action for _, item in found.statements() for action in listed(item["Action"])]
        assert len(actions) > 50
        assert not [action for action in actions if "*" in action]


def test_only_actions_without_resources_are_allowed_on_all_resources(assembly: Assembly) -> None:
    anywhere = {
        action
        for _, item in assembly.statements()
        if "*" in listed(item["Resource"])
        for action in listed(item["Action"])
    }
    assert anywhere == WITHOUT_RESOURCE


def test_network_interfaces_are_allowed_only_with_a_vpc(assembly: Assembly, prod: Assembly) -> None:
    def ec2(found: Assembly) -> list[str]:
        actions = [action for _, item in found.statements() for action in listed(item["Action"])]
        return [action for action in actions if action.startswith("ec2:")]

    assert not ec2(assembly)
    assert "ec2:CreateNetworkInterface" in ec2(prod)


def test_no_role_has_a_managed_policy(assembly: Assembly) -> None:
    for stack in assembly.templates:
        for role in assembly.resources(stack, "AWS::IAM::Role").values():
            assert "ManagedPolicyArns" not in role


def test_every_function_has_its_own_role_with_only_its_table_actions(assembly: Assembly) -> None:
    functions = assembly.resources("workflow", "AWS::Lambda::Function")
    assert {name: flat(item["Role"]) for name, item in functions.items()} == {
        name: f"<{name}Role.Arn>" for name in WORKFLOW_FUNCTIONS
    }
    table_actions: dict[str, set[str]] = {}
    for name, item in assembly.statements():
        actions = {
            action.removeprefix("dynamodb:") for action in listed(item["Action"]) if action.startswith("dynamodb:")
        }
        if actions:
            role = name.partition("/")[2].removesuffix("RoleDefaultPolicy")
            table_actions.setdefault(role, set()).update(actions)
    assert table_actions == {
        "PlanExecution": {"GetItem", "BatchGetItem", "PutItem", "Query"},
        "RecordAttempt": {
            "BatchGetItem",
            "ConditionCheckItem",
            "DeleteItem",
            "GetItem",
            "PutItem",
            "Query",
            "UpdateItem",
        },
        "VerifyOutput": {"BatchGetItem", "DeleteItem", "GetItem", "PutItem", "UpdateItem"},
        "ClassifyFailure": {"BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem"},
        "PrepareTraining": {"GetItem", "BatchGetItem", "PutItem", "Query"},
        "PlanTraining": {"GetItem", "BatchGetItem", "PutItem", "Query"},
        "RegisterModelVersion": {"DeleteItem", "GetItem", "BatchGetItem", "PutItem"},
        "SummarizeExecution": {"GetItem", "BatchGetItem", "PutItem", "Query", "UpdateItem"},
        "CheckRequest": {"GetItem", "BatchGetItem", "Query"},
        "Reconcile": {"DeleteItem", "GetItem", "BatchGetItem", "PutItem", "Query", "UpdateItem"},
        # They keep a failure in the record of its job when ClassifyFailure itself has failed.
        "StateMachine": {"UpdateItem"},
        "TrainingStateMachine": {"UpdateItem"},
        "AnnouncementsAnnounceStatus": {"DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"},
        "UploadsStartOnUpload": {"GetItem", "BatchGetItem", "ConditionCheckItem", "PutItem", "Query"},
    }


def test_the_scoring_role_reads_inputs_and_writes_only_job_outputs(assembly: Assembly) -> None:
    allowed: dict[str, set[str]] = {}
    for name, item in assembly.statements():
        if name.startswith("compute/JobRole"):
            for action in listed(item["Action"]):
                allowed.setdefault(action, set()).update(flat(arn) for arn in listed(item["Resource"]))
    results = "arn:aws:s3:::<fleetscore-dev-ResultsBucket>"
    assert allowed["s3:PutObject"] == {
        f"{results}/predictions/dataset=*/execution_id=*/job_id=*/*",
        f"{results}/joined/dataset=*/execution_id=*/job_id=*/*",
        f"{results}/fleets/dataset=*/execution_id=*/job_id=*/*",
        f"{results}/quarantine/dataset=*/execution_id=*/job_id=*/*",
        f"{results}/executions/*/jobs/*/ledger/*",
    }
    assert allowed["s3:GetObject"] == {
        "arn:aws:s3:::<fleetscore-dev-DatasetsBucket>/*",
        "arn:aws:s3:::<fleetscore-dev-ModelsBucket>/*/model.tar.gz",
        f"{results}/executions/*/jobs/*/job.json",
        f"{results}/executions/*/snapshots/*/objects.jsonl",
        f"{results}/executions/*/snapshots/*/objects.manifest",
        f"{results}/executions/*/jobs/*/*.manifest",
    }
    assert not [action for action in allowed if action.startswith(("dynamodb:", "s3:Delete", "iam:"))]


def test_the_spot_role_reads_inputs_and_writes_only_below_the_spot_folder(assembly: Assembly) -> None:
    allowed: dict[str, set[str]] = {}
    for name, item in assembly.statements():
        if name.startswith(("compute/SpotRole", "compute/JobRole")):
            for action in listed(item["Action"]):
                allowed.setdefault(f"{name[8:11]} {action}", set()).update(
                    flat(arn) for arn in listed(item["Resource"])
                )
    results = "arn:aws:s3:::<fleetscore-dev-ResultsBucket>"
    checkpoints = f"{results}/spot/*/*/*/checkpoints/*"
    assert allowed["Spo s3:PutObject"] == {checkpoints, f"{results}/spot/*/*/*/output/*"}
    assert allowed["Spo s3:GetObject"] == allowed["Job s3:GetObject"] | {checkpoints}
    assert not [action for action in allowed if "dynamodb:" in action or "s3:Delete" in action or "iam:" in action]


def test_the_training_role_reads_inputs_and_cannot_access_models(assembly: Assembly) -> None:
    allowed: dict[str, set[str]] = {}
    for name, item in assembly.statements():
        if name.startswith("compute/TrainingRole"):
            for action in listed(item["Action"]):
                allowed.setdefault(action, set()).update(flat(arn) for arn in listed(item["Resource"]))
    results = "arn:aws:s3:::<fleetscore-dev-ResultsBucket>"
    assert allowed["s3:PutObject"] == {
        f"{results}/executions/*/jobs/*/training/*",
        f"{results}/executions/*/jobs/*/checkpoints/*",
    }
    assert allowed["s3:GetObject"] == {
        "arn:aws:s3:::<fleetscore-dev-DatasetsBucket>/*",
        f"{results}/executions/*/jobs/*/spec/training.json",
        f"{results}/executions/*/jobs/*/*.manifest",
        f"{results}/executions/*/jobs/*/code/sourcedir.tar.gz",
        f"{results}/executions/*/jobs/*/checkpoints/*",
    }
    assert not [arn for arns in allowed.values() for arn in arns if "ModelsBucket" in arn]
    assert not [action for action in allowed if action.startswith(("dynamodb:", "s3:Delete", "iam:"))]


def test_only_register_model_version_writes_models(assembly: Assembly) -> None:
    found = {
        (name.removeprefix("workflow/").removesuffix("RoleDefaultPolicy"), flat(arn))
        for name, item in assembly.statements()
        for arn in listed(item["Resource"])
        if "s3:PutObject" in listed(item["Action"]) and "ModelsBucket" in flat(arn)
    }
    assert found == {("RegisterModelVersion", "arn:aws:s3:::<fleetscore-dev-ModelsBucket>/*/model.tar.gz")}


def test_only_the_state_machines_access_the_results_of_their_map(assembly: Assembly) -> None:
    bucket = "arn:aws:s3:::<fleetscore-dev-ResultsBucket>/"
    found = {
        (name.removeprefix("workflow/").removesuffix("RoleDefaultPolicy"), action, label)
        for name, item in assembly.statements()
        for action in listed(item["Action"])
        for pattern in [flat(arn) for arn in listed(item["Resource"])]
        for label in ("ScoreModels", "TrainModels")
        if action.startswith("s3:") and fnmatch(f"{bucket}map-runs/{label}/run/manifest.json", pattern)
    }
    actions = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject")
    assert found == {
        (machine, action, label)
        for machine, label in (("StateMachine", "ScoreModels"), ("TrainingStateMachine", "TrainModels"))
        for action in actions
    }


def test_only_the_planning_functions_access_datasets_and_only_read(assembly: Assembly) -> None:
    datasets = "arn:aws:s3:::<fleetscore-dev-DatasetsBucket>/*"
    found = {
        (name.removeprefix("workflow/").removesuffix("RoleDefaultPolicy"), action)
        for name, item in assembly.statements()
        for action in listed(item["Action"])
        if name.startswith("workflow/") and datasets in map(flat, listed(item["Resource"]))
    }
    assert found == {(name, "s3:GetObject") for name in ("PlanExecution", "PlanTraining", "CheckRequest")}


def test_outputs_are_copied_by_the_functions_that_end_attempts_and_by_no_other(assembly: Assembly) -> None:
    bucket = "arn:aws:s3:::<fleetscore-dev-ResultsBucket>/"
    areas = ("predictions/", "joined/", "fleets/", "quarantine/")
    found = {
        (name.removeprefix("workflow/").removesuffix("RoleDefaultPolicy"), action, area)
        for name, item in assembly.statements()
        for action in listed(item["Action"])
        for arn in map(flat, listed(item["Resource"]))
        for area in areas
        if name.startswith("workflow/") and action.startswith("s3:") and fnmatch(f"{bucket}{area}a", arn)
    }
    copying = ("RecordAttempt", "VerifyOutput", "ClassifyFailure", "Reconcile")
    actions = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
    assert found == {(name, action, area) for name in copying for action in actions for area in areas}


def test_the_functions_that_read_ledgers_know_which_checksums_to_compare(assembly: Assembly) -> None:
    found = {
        name: variables[environment.COMPARED_CHECKSUMS]
        for name, function in assembly.resources("workflow", "AWS::Lambda::Function").items()
        if environment.COMPARED_CHECKSUMS in (variables := function["Environment"]["Variables"])
    }
    assert found == dict.fromkeys(("RecordAttempt", "VerifyOutput"), "sampled")


def test_the_check_of_a_request_may_write_nothing_but_logs_and_traces(assembly: Assembly) -> None:
    actions = {
        action
        for name, item in assembly.statements()
        if name == "workflow/CheckRequestRoleDefaultPolicy"
        for action in listed(item["Action"])
    }
    assert actions == {
        *(
            "s3:ListBucket",
            "s3:GetObject",
            "dynamodb:BatchGetItem",
            "dynamodb:GetItem",
            "dynamodb:Query",
            "kms:Decrypt",
        ),
        *("sagemaker:DescribeProcessingJob", "sagemaker:DescribeTrainingJob", "states:DescribeExecution"),
        *("servicequotas:ListAWSDefaultServiceQuotas", "servicequotas:ListServiceQuotas"),
        *("logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    }


def test_every_rule_matches_one_source_of_this_account(assembly: Assembly) -> None:
    rules = [rule for stack in assembly.templates for rule in assembly.resources(stack, "AWS::Events::Rule").values()]
    patterns = [rule["EventPattern"] for rule in rules if "ScheduleExpression" not in rule]
    sources = sorted(source for pattern in patterns for source in pattern["source"])
    assert sources == ["aws.s3", "aws.sagemaker", "aws.sagemaker", "aws.states"]
    assert {flat(account) for pattern in patterns for account in pattern["account"]} == {"<AWS::AccountId>"}


def test_logs_are_encrypted_and_expire(assembly: Assembly) -> None:
    groups = assembly.resources("workflow", "AWS::Logs::LogGroup")
    assert set(groups) == {*[f"{name}Logs" for name in WORKFLOW_FUNCTIONS], "Logs", "TrainingLogs"}
    for group in groups.values():
        assert group["RetentionInDays"] == 90
        assert flat(group["KmsKeyId"]) == "<fleetscore-dev-KeyArn>"


def test_functions_are_traced_and_have_their_own_log_groups(assembly: Assembly) -> None:
    for name, function in assembly.resources("workflow", "AWS::Lambda::Function").items():
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert flat(function["LoggingConfig"]["LogGroup"]) == f"<{name}Logs>"
        assert len(function["Layers"]) == 1


def test_state_machines_are_traced_and_log_all_events_without_data(assembly: Assembly) -> None:
    machines = assembly.resources("workflow", "AWS::StepFunctions::StateMachine")
    assert set(machines) == {"StateMachine", "TrainingStateMachine"}
    for machine in machines.values():
        assert machine["TracingConfiguration"] == {"Enabled": True}
        assert machine["LoggingConfiguration"]["Level"] == "ALL"
        assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False


def names_in(assembly: Assembly) -> set[str]:
    """Return all names that must be unique in an account and Region: resources, exports, stacks."""

    def explicit(properties: dict[str, Any]) -> Iterator[str]:
        for key, value in properties.items():
            # Index names are unique per table, policy names per role; a service names its metrics.
            if (
                key.endswith("Name")
                and key not in ("IndexName", "PolicyName", "MetricName")
                and isinstance(value, (str, dict))
            ):
                text = flat(value)
                if not text.startswith("<"):
                    yield f"{key}: {text}"

    found = {path.name for path in assembly.directory.glob("*.template.json")}
    for template in assembly.templates.values():
        found |= {
            flat(output["Export"]["Name"]) for output in template.get("Outputs", {}).values() if "Export" in output
        }
        for item in template["Resources"].values():
            found |= set(explicit(item["Properties"]))
    return found


def test_two_stages_share_no_resource_name(assembly: Assembly, prod: Assembly) -> None:
    assert "StateMachineName: fleetscore-dev" in names_in(assembly)
    assert "StateMachineName: fleetscore-prod" in names_in(prod)
    assert not names_in(assembly) & names_in(prod)


def test_a_named_image_is_not_built(assembly: Assembly, prod: Assembly) -> None:
    def asks_for_docker(found: Assembly) -> bool:
        text = (found.directory / f"fleetscore-{found.stage}-compute.assets.json").read_text(encoding="utf-8")
        return '"dockerFile"' in text

    assert asks_for_docker(assembly)
    assert not asks_for_docker(prod)
    image = prod.template("compute")["Outputs"]["ImageUri"]["Value"]
    assert image == "210987654321.dkr.ecr.eu-central-1.amazonaws.com/scoring:1.0.0"
    pulling = [item for _, item in prod.statements() if "ecr:BatchGetImage" in listed(item["Action"])]
    repository = "arn:aws:ecr:eu-central-1:210987654321:repository/scoring"
    assert [item["Resource"] for item in pulling] == [repository] * 3, "scoring, scoring on spot capacity, and training"


def image_uris(assembly: Assembly) -> dict[str, str]:
    (function,) = [
        item
        for name, item in assembly.resources("workflow", "AWS::Lambda::Function").items()
        if name.startswith("PlanExecution")
    ]
    found: dict[str, str] = json.loads(flat(function["Environment"]["Variables"]["FLEETSCORE_IMAGE_URIS"]))
    return found


def test_image_variants_are_built_or_named_and_passed_to_the_plan(variants: Assembly) -> None:
    uris = image_uris(variants)
    assert list(uris) == ["core", "tensorflow", "pytorch"]
    assert uris["pytorch"] == "210987654321.dkr.ecr.eu-central-1.amazonaws.com/torch:2.13"
    assert len(set(uris.values())) == 3
    for stack in ("compute", "workflow"):
        text = (variants.directory / f"fleetscore-{variants.stage}-{stack}.assets.json").read_text(encoding="utf-8")
        built = [item["source"].get("dockerBuildArgs") for item in json.loads(text)["dockerImages"].values()]
        assert built == [{"ACCELERATOR": "gpu"}, {"VARIANT": "tensorflow", "ACCELERATOR": "gpu"}]
    outputs = variants.template("compute")["Outputs"]
    assert {name for name in outputs if name.startswith("Image")} == {
        "ImageUri",
        "ImageUriTensorflow",
        "ImageUriPytorch",
    }
    pulling = [item for _, item in variants.statements() if "ecr:BatchGetImage" in listed(item["Action"])]
    assert len(pulling) == 3  # the roles of scoring, of scoring on spot capacity, and of training
    for statement in pulling:
        repositories = {flat(item).partition("repository/")[2] for item in listed(statement["Resource"])}
        assert repositories == {
            "torch",
            "cdk-hnb659fds-container-assets-${AWS::AccountId}-${AWS::Region}",
        }


def test_a_base_image_of_the_settings_is_a_build_argument(synthesize: Synthesize) -> None:
    base = "python@sha256:" + "0" * 64
    found = synthesize(stage="pinned", base_image=base)
    for stack in ("compute", "workflow"):
        text = (found.directory / f"fleetscore-pinned-{stack}.assets.json").read_text(encoding="utf-8")
        (image,) = json.loads(text)["dockerImages"].values()
        assert image["source"]["dockerBuildArgs"] == {"BASE_IMAGE": base}


def test_no_stack_imports_an_image_from_another(assembly: Assembly) -> None:
    """CloudFormation refuses to change an imported export, so a new image could not be deployed."""
    exported = [
        name for name, item in assembly.template("compute")["Outputs"].items() if "Export" in item and "Image" in name
    ]
    assert exported == []
    assert image_uris(assembly)["core"] == flat(assembly.template("compute")["Outputs"]["ImageUri"]["Value"])


def test_invalid_settings_stop_synthesis(synthesize: Synthesize) -> None:
    with pytest.raises(InvalidInputError, match=r"2 problems.*removal.*record_days"):
        synthesize(removal="keep", record_days=0)


def test_an_unacknowledged_nag_finding_fails_synthesis(tmp_path: Path) -> None:
    app = build_app(outdir=tmp_path)
    s3.Bucket(Stack(app, "careless"), "Open")
    with pytest.raises(RuntimeError, match="AwsSolutions-S10"):
        app.synth()


def test_synthesis_depends_only_on_the_repository(assembly: Assembly, bare_assembly: Assembly) -> None:
    """A bare environment, in another process and folder, gives the same templates."""
    assert bare_assembly.templates == assembly.templates
