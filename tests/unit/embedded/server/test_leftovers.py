"""A second `up` finds a running server, a killed one, or servers of other folders."""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from embedded.server.detached import (
    check_project,
    detached_endpoint,
    detached_root,
    leftover_text,
    running_text,
    start_detached,
    stop_detached,
)
from embedded.server.inventory import Inventory
from embedded.server.launch import EmbeddedAwsError
from embedded.server.process import LOCK_FILE
from embedded.server.running_servers import running_state_dirs
from tests.unit.embedded.server.test_embedded_aws import wait_until

WAITING = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_second_start_reports_what_runs_and_what_a_kill_lost(tmp_path: Path) -> None:
    endpoint = start_detached(tmp_path)
    root, left = detached_root(tmp_path), None
    try:
        storage, workflows = endpoint.client("s3"), endpoint.client("stepfunctions")
        storage.create_bucket(Bucket="data")
        storage.put_object(Bucket="data", Key="a", Body=b"x" * 1500)
        role = endpoint.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
        machine = workflows.create_state_machine(name="m", definition=json.dumps(WAITING), roleArn=role["Arn"])
        workflows.start_execution(stateMachineArn=machine["stateMachineArn"], name="waits")
        wait_until(lambda: "waits" in str(Inventory.read(root)), "the inventory has the execution")
        found = Inventory.read(root)
        assert found is not None
        assert (root / "inventory.json").stat().st_mode & 0o777 == 0o600
        shown = running_text(tmp_path)
        assert f"process {found.process_id}): 1 object (1.5 kB), 0 records, 1 execution (1 running)." in shown
        assert leftover_text(tmp_path) == ""
        assert tmp_path.resolve() in running_state_dirs()
        check_project(tmp_path)
        # A process of a job that the guard has missed.
        environment = {**os.environ, "TMPDIR": f"{root}/sagemaker/jobs/a/tmp"}
        left = os.posix_spawn("/bin/sleep", ["sleep", "600"], environment)

        os.kill(found.process_id, signal.SIGKILL)
        wait_until(lambda: detached_endpoint(tmp_path) is None, "the killed server has ended")
        text = leftover_text(tmp_path)
        assert "did not end with `fleetscore down`, but with a signal or a crash" in text
        assert "Lost with it: 1 object (1.5 kB), 0 records, 1 execution (1 running)." in text
        assert text.endswith("Running then, and ended without a result: execution waits.")
        assert tmp_path.resolve() not in running_state_dirs()

        start_detached(tmp_path)
        assert os.waitpid(left, 0)[1] == signal.SIGKILL
        left = None
        assert leftover_text(tmp_path) == ""
    finally:
        if left is not None:
            os.kill(left, signal.SIGKILL)
        stop_detached(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_of_another_checkout_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "embedded-aws.json").write_text(json.dumps({"project": "/other/clone"}))
    with pytest.raises(EmbeddedAwsError, match=r"started by the checkout in /other/clone, .*fleetscore down"):
        check_project(tmp_path)


def test_two_starts_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedAwsError, match="another process is just starting an embedded AWS"):
            start_detached(tmp_path)
    finally:
        os.close(folder)


def test_a_restart_of_the_machine_is_named_as_the_cause(tmp_path: Path) -> None:
    root = detached_root(tmp_path)
    root.mkdir()
    (root / LOCK_FILE).touch()
    assert "before it held anything" in leftover_text(tmp_path)
    held = {"stacks": ["S"], "objects": 0, "object_bytes": 0, "records": 0, "executions": 0, "running_executions": []}
    fields = {"process_id": 1, "boot_id": "earlier", "started_at": time.time(), "written_at": time.time()}
    (root / "inventory.json").write_text(json.dumps({**fields, "contents": held, "running_jobs": ["j"]}))
    assert "but with a restart of the machine at about" in leftover_text(tmp_path)
    assert leftover_text(tmp_path).endswith("ended without a result: job j.")
    (root / "inventory.json").write_text("{")
    assert "before it held anything" in leftover_text(tmp_path)
