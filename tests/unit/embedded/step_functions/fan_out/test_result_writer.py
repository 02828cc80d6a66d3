"""ResultWriter: the files in S3, and the permissions that they need."""

import json
from typing import Any

import pytest

from tests.unit.embedded.step_functions.fan_out.test_maps import CHOOSE, ECHO, items
from tests.unit.embedded.step_functions.machines import Workflows, distributed, one_state


def writer(workflows: Workflows, prefix: str = "map-runs") -> dict[str, Any]:
    parameters = {"Bucket": workflows.bucket, "Prefix": prefix}
    return {"Resource": "arn:aws:states:::s3:putObject", "Parameters": parameters}


def read(workflows: Workflows, key: str) -> Any:
    body = workflows.aws.endpoint.client("s3").get_object(Bucket=workflows.bucket, Key=key)["Body"].read()
    return json.loads(body)


def test_the_output_names_the_manifest_and_the_manifest_the_results(workflows: Workflows) -> None:
    machine = distributed(CHOOSE, Label="Fan", ToleratedFailureCount=1, ResultWriter=writer(workflows))
    arn = workflows.start(machine, items(3, 1))
    output = json.loads(workflows.ended(arn)["output"])

    run = workflows.map_run(arn)
    folder = f"map-runs/{run['mapRunArn'].rpartition(':')[2]}"
    key = f"{folder}/manifest.json"
    assert output == {
        "MapRunArn": run["mapRunArn"],
        "ResultWriterDetails": {"Bucket": workflows.bucket, "Key": key},
    }
    manifest = read(workflows, key)
    sizes = {
        item["Key"]: item["Size"]
        for item in workflows.aws.endpoint.client("s3").list_objects_v2(Bucket=workflows.bucket, Prefix=folder)[
            "Contents"
        ]
    }
    assert manifest == {
        "DestinationBucket": workflows.bucket,
        "MapRunArn": run["mapRunArn"],
        "ResultFiles": {
            "FAILED": [{"Key": f"{folder}/FAILED_0.json", "Size": sizes[f"{folder}/FAILED_0.json"]}],
            "PENDING": [],
            "SUCCEEDED": [{"Key": f"{folder}/SUCCEEDED_0.json", "Size": sizes[f"{folder}/SUCCEEDED_0.json"]}],
        },
    }
    passed = read(workflows, f"{folder}/SUCCEEDED_0.json")
    (failed,) = read(workflows, f"{folder}/FAILED_0.json")
    assert [json.loads(child["Output"])["n"] for child in passed] == [1, 2]
    assert (failed["Status"], failed["Error"], json.loads(failed["Input"])["n"]) == ("FAILED", "Broken", 0)
    assert run["itemCounts"]["resultsWritten"] == 3


def test_a_failed_map_run_exports_the_items_that_never_started(workflows: Workflows) -> None:
    arn = workflows.start(distributed(CHOOSE, MaxConcurrency=1, ResultWriter=writer(workflows)), items(4, 1))
    assert workflows.ended(arn)["error"] == "States.ExceedToleratedFailureThreshold"

    folder = f"map-runs/{workflows.map_run(arn)['mapRunArn'].rpartition(':')[2]}"
    assert [json.loads(item["Input"])["n"] for item in read(workflows, f"{folder}/PENDING_0.json")] == [1, 2, 3]
    assert len(read(workflows, f"{folder}/FAILED_0.json")) == 1


def test_results_over_256_kib_need_a_result_writer(workflows: Workflows) -> None:
    processor = one_state({"Type": "Pass", "Result": "x" * 70_000, "End": True})
    refused = workflows.start(distributed(processor, ResultPath=None), [1, 2, 3, 4])

    assert workflows.ended(refused)["error"] == "States.DataLimitExceeded"
    assert workflows.event_types(refused)[-2:] == ["MapStateFailed", "ExecutionFailed"]
    written = workflows.run(distributed(processor, ResultPath=None, ResultWriter=writer(workflows)), [1, 2, 3, 4])
    assert (written["status"], written["output"]) == ("SUCCEEDED", "[1,2,3,4]")


@pytest.mark.parametrize(
    "missing", ["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"]
)
def test_the_role_needs_each_documented_permission(workflows: Workflows, missing: str) -> None:
    actions = ["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"]
    allowed = [action for action in actions if action != missing]
    role = workflows.role(
        {"Effect": "Allow", "Action": "states:StartExecution", "Resource": "*"},
        {"Effect": "Allow", "Action": allowed, "Resource": f"arn:aws:s3:::{workflows.bucket}/map-runs/*"},
    )
    result = workflows.run(distributed(ECHO, ResultWriter=writer(workflows)), [1], role_arn=role)

    assert (result["status"], result["error"]) == ("FAILED", "States.ResultWriterFailed")
    assert missing in result["cause"]


def test_another_prefix_is_refused(workflows: Workflows) -> None:
    role = workflows.role(
        {"Effect": "Allow", "Action": "states:StartExecution", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{workflows.bucket}/map-runs/*"},
    )
    result = workflows.run(distributed(ECHO, ResultWriter=writer(workflows, "elsewhere")), [1], role_arn=role)

    assert result["error"] == "States.ResultWriterFailed"


def test_a_missing_bucket_fails_the_map(workflows: Workflows) -> None:
    parameters = {"Bucket": "no-such-bucket", "Prefix": "p"}
    broken = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": parameters}
    result = workflows.run(distributed(ECHO, ResultWriter=broken), [1])

    assert result["error"] == "States.ResultWriterFailed"
    assert "NoSuchBucket" in result["cause"]


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ({}, "required: [Parameters, Resource]"),
        ({"Resource": "arn:aws:states:::s3:putObject"}, "required: [Parameters]"),
        ({"Resource": "arn:aws:states:::s3:copyObject", "Parameters": {}}, "copyObject"),
        ({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {}, "WriterConfig": {}}, "WriterConfig"),
    ],
)
def test_unsupported_fields_are_refused_by_name(workflows: Workflows, field: dict[str, Any], named: str) -> None:
    with pytest.raises(workflows.client.exceptions.InvalidDefinition, match="ResultWriter") as refusal:
        workflows.create(distributed(ECHO, ResultWriter=field))
    assert named in str(refusal.value)
