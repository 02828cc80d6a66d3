"""Events of uploads are doubled, late or handled by a function that crashes: each upload is scored once."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from contract import codec
from contract.status import ExecutionStatus
from contract.triggers.uploads import UploadManifest
from embedded.faults import CrashFunction, DelayEvent, DoubleEvent
from tests.e2e.stage import Stage, people, train_xgboost, wait_for

MODEL, DATASET = "faulty-uploads", "by-window"


@pytest.fixture(autouse=True)
def _model(stage: Stage) -> Iterator[None]:
    stage.register(MODEL, train_xgboost(2), dataset=DATASET)
    yield
    stage.catalog.set_enabled(MODEL, enabled=False)
    stage.aws.faults.clear()


def started_for(stage: Stage, folder: str) -> dict[str, list[str]]:
    """Return the uploads to a folder in each execution that uploads have started, by its name."""
    states, s3 = stage.client("stepfunctions"), stage.client("s3")
    found = {}
    for execution in states.list_executions(stateMachineArn=stage.deployment.state_machine_arn)["executions"]:
        if execution["name"].startswith(f"upload-{DATASET}-"):
            given = json.loads(states.describe_execution(executionArn=execution["executionArn"])["input"])
            where = {"Bucket": stage.deployment.results_bucket, "Key": given["objects_manifest"]}
            manifest = codec.loads(UploadManifest, s3.get_object(**where)["Body"].read())
            if keys := [item.key for item in manifest.objects if item.key.startswith(folder)]:
                found[str(execution["name"])] = keys
    return found


def test_each_upload_is_scored_once(stage: Stage) -> None:
    faults = stage.aws.faults
    faults.add(DoubleEvent(source="aws.s3", detail_type="Object Created", count=2))
    faults.add(DelayEvent(source="aws.s3", detail_type="Object Created", seconds=1))
    faults.add(DoubleEvent(source="aws:sqs"))
    faults.add(CrashFunction(function="*StartOnUpload*", when="after"))
    keys = [f"faulty/{number}.parquet" for number in range(4)]
    stage.put_dataset(DATASET, {key: people(20, 1) for key in keys})

    def covering() -> dict[str, list[str]]:
        found = started_for(stage, "faulty/")
        return found if {key for of_one in found.values() for key in of_one} >= set(keys) else {}

    executions = wait_for(covering, "the uploads start executions")
    assert all(stage.watch(name).status == ExecutionStatus.SUCCEEDED for name in executions)
    assert Counter(key for of_one in started_for(stage, "faulty/").values() for key in of_one) == Counter(keys)
    assert faults.pending() == []
