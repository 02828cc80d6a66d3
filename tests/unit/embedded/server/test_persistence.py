"""`--persist`: the next server of a folder continues after `down` and after a kill."""

import json
import os
import pickle
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from embedded.ministack.s3.object_contents import ContentStore
from embedded.ministack.state.snapshot import restore
from embedded.server.detached import detached_endpoint, detached_root, leftover_text, start_detached, stop_detached
from embedded.server.endpoint import Endpoint
from embedded.server.launch import EmbeddedAwsError
from embedded.server.persistence import PERSISTED_FILE, SNAPSHOT_FILE, PersistedData
from tests.unit.embedded.server.test_embedded_aws import wait_until

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
PASS = {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}
WAIT = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}


def fill(endpoint: Endpoint) -> dict[str, str]:
    """Store something of each kind, and return the ARNs of executions by name."""
    storage, table, logs = endpoint.client("s3"), endpoint.client("dynamodb"), endpoint.client("logs")
    storage.create_bucket(Bucket="data")
    storage.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    storage.put_object(Bucket="data", Key="a", Body=b"old")
    storage.put_object(Bucket="data", Key="a", Body=b"new" * 30_000, Metadata={"by": "me"})
    table.create_table(
        TableName="table", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )  # fmt: skip
    table.put_item(TableName="table", Item={"k": {"S": "x"}, "__bytes__": {"S": "not ours"}, "b": {"B": b"\x00\xff"}})
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    events = [{"timestamp": 1_780_000_000_000, "message": "line"}]
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=events)
    endpoint.client("cloudwatch").put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 3}])
    quota = {"ServiceCode": "sagemaker", "QuotaCode": quota_code(endpoint)}
    endpoint.client("service-quotas").request_service_quota_increase(**quota, DesiredValue=7)
    workflows = endpoint.client("stepfunctions")
    role = endpoint.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    arns = {}
    for name, definition in (("ends", PASS), ("waits", WAIT)):
        machine = workflows.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)
        started = workflows.start_execution(stateMachineArn=machine["stateMachineArn"], name=name)
        arns[name] = started["executionArn"]
    wait_until(
        lambda: workflows.describe_execution(executionArn=arns["ends"])["status"] == "SUCCEEDED", "it has succeeded"
    )
    return arns


def quota_code(endpoint: Endpoint) -> str:
    quotas = endpoint.client("service-quotas").list_service_quotas(ServiceCode="sagemaker", MaxResults=1)["Quotas"]
    return str(quotas[0]["QuotaCode"])


def check(endpoint: Endpoint, arns: dict[str, str]) -> None:
    storage, workflows = endpoint.client("s3"), endpoint.client("stepfunctions")
    found = storage.get_object(Bucket="data", Key="a")
    assert (found["Body"].read(), found["Metadata"]) == (b"new" * 30_000, {"by": "me"})
    versions = storage.list_object_versions(Bucket="data", Prefix="a")["Versions"]
    contents = [
        storage.get_object(Bucket="data", Key="a", VersionId=each["VersionId"])["Body"].read()[:3] for each in versions
    ]
    assert contents == [b"new", b"old"]
    item = endpoint.client("dynamodb").get_item(TableName="table", Key={"k": {"S": "x"}})["Item"]
    assert item == {"k": {"S": "x"}, "__bytes__": {"S": "not ours"}, "b": {"B": b"\x00\xff"}}
    lines = endpoint.client("logs").get_log_events(logGroupName="g", logStreamName="s")["events"]
    assert [line["message"] for line in lines] == ["line"]
    now = datetime.now(UTC)
    points = endpoint.client("cloudwatch").get_metric_statistics(
        Namespace="n", MetricName="m", Statistics=["Sum"], Period=3600,
        StartTime=now - timedelta(hours=1), EndTime=now + timedelta(hours=1),
    )["Datapoints"]  # fmt: skip
    assert [point["Sum"] for point in points] == [3]
    quotas = endpoint.client("service-quotas")
    quota = quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=quota_code(endpoint))["Quota"]
    assert quota["Value"] == 7
    assert workflows.describe_execution(executionArn=arns["ends"])["status"] == "SUCCEEDED"


def has_failed(endpoint: Endpoint, arn: str) -> bool:
    workflows = endpoint.client("stepfunctions")
    found = workflows.describe_execution(executionArn=arn)
    last = workflows.get_execution_history(executionArn=arn, reverseOrder=True)["events"][0]["type"]
    shown = found["status"], found.get("error"), found.get("cause"), last
    cause = "The embedded AWS ended while this execution ran. Start a new one."
    return shown == ("FAILED", "EmbeddedAws.Ended", cause, "ExecutionFailed")


def test_data_outlive_down_and_a_kill(tmp_path: Path) -> None:
    first = start_detached(tmp_path, persist=True)
    root = detached_root(tmp_path)
    try:
        arns = fill(first)
        assert stop_detached(tmp_path)
        assert (root / SNAPSHOT_FILE).stat().st_mode & 0o777 == 0o600
        assert (root / PERSISTED_FILE).stat().st_mode & 0o777 == 0o600
        assert root.stat().st_mode & 0o777 == 0o700
        assert leftover_text(tmp_path) == ""

        second = start_detached(tmp_path)  # the folder keeps its data, also without --persist
        assert (second.url, second.secret_access_key) == (first.url, first.secret_access_key)
        check(second, arns)
        wait_until(lambda: has_failed(second, arns["waits"]), "the interrupted execution has failed")
        # One for all small contents, and one for each large one.
        assert len(list((root / "objects").iterdir())) == 2
        storage = second.client("s3")
        storage.put_object(Bucket="data", Key="b", Body=b"later")
        before = (root / SNAPSHOT_FILE).stat().st_mtime_ns
        wait_until(
            lambda: bool(storage.list_buckets()) and (root / SNAPSHOT_FILE).stat().st_mtime_ns > before,
            "a snapshot has it",
        )
        # A half-written snapshot, as a kill leaves it.
        (root / "objects" / "half").write_bytes(b"x")
        (root / f"{SNAPSHOT_FILE}.new").write_bytes(b"x")
        os.kill(int((root / "lock").read_text()), signal.SIGKILL)
        wait_until(lambda: detached_endpoint(tmp_path) is None, "the killed server has ended")
        assert "Saved is what it held at" in leftover_text(tmp_path)

        third = start_detached(tmp_path)
        check(third, arns)
        assert has_failed(third, arns["waits"])
        assert third.client("s3").get_object(Bucket="data", Key="b")["Body"].read() == b"later"
        assert len(list((root / "objects").iterdir())) == 3
    finally:
        stop_detached(tmp_path, delete_data=True)
    assert list(tmp_path.iterdir()) == []


def test_data_of_another_version_are_refused_by_name(tmp_path: Path) -> None:
    root = detached_root(tmp_path)
    root.mkdir()
    PersistedData({"format": "1", "ministack": "0.0.1"}, 4566, "secret").write(root)
    (root / SNAPSHOT_FILE).touch()
    with pytest.raises(
        EmbeddedAwsError, match=r"written by another version \(format 1, ministack 0\.0\.1; this is .*delete-data"
    ):
        start_detached(tmp_path)
    (root / PERSISTED_FILE).write_text("{")
    with pytest.raises(EmbeddedAwsError, match=r"persisted\.json is damaged: .*delete-data"):
        start_detached(tmp_path)
    assert (root / SNAPSHOT_FILE).exists()


class _Attack:
    def __reduce__(self) -> Any:
        return os.system, ("touch attacked",)


def test_a_snapshot_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="system is not a type of a snapshot"):
        restore(pickle.dumps(_Attack()), ContentStore(tmp_path / "objects"))
    assert not (tmp_path / "attacked").exists()
