"""Faults of processing jobs: capacity, quotas, instances, disks and uploads."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.sandbox.isolation import IsolationKind, probe
from embedded.faults import (
    FailUpload,
    Faults,
    FullDisk,
    InstanceClock,
    InstanceQuota,
    KillInstance,
    NoCapacity,
    SlowUpload,
)
from embedded.sagemaker.errors import ApiError
from embedded.sagemaker.jobs.job import Status
from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import (
    DEADLINE_SECONDS,
    Aws,
    instances,
    job_request,
    log_events,
    logged,
    processes_of,
    results,
    run,
    s3_outputs,
    start,
)

BuildImage = Callable[..., str]
WAITS = "signal.pause()"
WRITES = """
host = json.loads(pathlib.Path(ML / "config/resourceconfig.json").read_text())["current_host"]
(OUTPUT / "result").mkdir(parents=True, exist_ok=True)
for number in range(3):
    (OUTPUT / "result" / f"{host}-{number}").write_text("x")
    print(json.dumps({"event": "object_scored", "object": number}), flush=True)
    time.sleep(0.3)
"""


def ended(service: SageMakerService, request: dict[str, Any]) -> tuple[str, str]:
    described = run(service, request)
    return described["ProcessingJobStatus"], described.get("FailureReason", "")


def test_a_quota_is_shared_by_all_running_jobs(service: SageMakerService, aws: Aws, build_image: BuildImage) -> None:
    image = build_image(WAITS)
    service.faults.add(InstanceQuota(instance_type="ml.m5.*", instances=3))
    first = start(service, job_request(aws, image, ProcessingResources=instances(2)))
    with pytest.raises(ApiError) as refused:
        start(service, job_request(aws, image, ProcessingResources=instances(2)))
    assert refused.value.code == "ResourceLimitExceeded"
    assert refused.value.message.startswith(
        "The account-level service limit 'ml.m5.large for processing job usage' is 3 Instances, with current "
        "utilization of 2 Instances and a request delta of 2 Instances."
    )
    second = start(service, job_request(aws, image))
    for job in (first, second):
        service.stop(job)
        assert job.wait(DEADLINE_SECONDS)
    third = start(service, job_request(aws, image, ProcessingResources=instances(2)))
    service.stop(third)
    assert len(service.faults.happened(InstanceQuota)) == 1


def test_a_job_without_capacity_waits_and_fails(service: SageMakerService, aws: Aws, build_image: BuildImage) -> None:
    service.faults.add(NoCapacity(instance_type="ml.m5.large", wait_seconds=0.3))
    began = time.monotonic()
    status, reason = ended(service, job_request(aws, build_image("")))
    assert time.monotonic() - began >= 0.3
    assert status == "Failed"
    assert reason == (
        "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance "
        "type."
    )
    service.faults.add(NoCapacity(wait_seconds=600))
    job = start(service, job_request(aws, build_image("")))
    service.stop(job)
    assert job.wait(DEADLINE_SECONDS)
    assert job.status is Status.STOPPED


def test_a_lost_instance_takes_its_files_with_it(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    service.faults.add(KillInstance(instance=2, objects=2))
    outputs = s3_outputs(f"s3://{aws.bucket}/{prefix}", "result", mode="Continuous")
    changes = {"ProcessingResources": instances(2), "ProcessingOutputConfig": outputs}
    status, reason = ended(service, job_request(aws, build_image(WRITES), **changes))
    assert (status, reason) == ("Failed", "InternalServerError: We encountered an internal error. Please try again.")
    kept = results(aws, prefix)
    # The other instance uploads what it has, when it ends.
    assert "algo-1-0" in kept
    assert "algo-2-1" not in kept
    assert "algo-2-2" not in kept
    assert len(service.faults.happened(KillInstance)) == 1


def test_a_killed_container_leaves_its_files(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    service.faults.add(KillInstance(cause="out-of-memory", after_log='"object": 1'))
    outputs = s3_outputs(f"s3://{aws.bucket}/{prefix}", "result", mode="Continuous")
    status, reason = ended(service, job_request(aws, build_image(WRITES), ProcessingOutputConfig=outputs))
    assert (status, reason) == ("Failed", "AlgorithmError: See job logs for more information, exit code: 137")
    assert results(aws, prefix).keys() == {"algo-1-0", "algo-1-1"}


def test_an_instance_that_does_not_exist_is_not_killed(
    service: SageMakerService, aws: Aws, build_image: BuildImage
) -> None:
    service.faults.add(KillInstance(instance=2))
    assert ended(service, job_request(aws, build_image("")))[0] == "Completed"
    assert service.faults.pending() == [KillInstance(instance=2)]


def test_an_object_that_cannot_be_uploaded_fails_its_job(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    service.faults.add(FailUpload(key=f"{prefix}*-1"))
    service.faults.add(SlowUpload(key=f"{prefix}*-2", seconds=0.2))
    outputs = s3_outputs(f"s3://{aws.bucket}/{prefix}", "result", mode="Continuous")
    request = job_request(aws, build_image(WRITES), ProcessingOutputConfig=outputs)
    status, reason = ended(service, request)
    assert status == "Failed"
    assert reason.startswith(
        f"ClientError: Failed to upload data. PutObject failed for s3://{aws.bucket}/{prefix}result/algo-1-1: "
        "InternalError: We encountered an internal error"
    )
    assert results(aws, prefix).keys() == {"algo-1-0", "algo-1-2"}
    assert service.faults.pending() == []


def test_a_volume_is_full(service: SageMakerService, aws: Aws, build_image: BuildImage) -> None:
    service.faults.add(FullDisk())
    status, reason = ended(service, job_request(aws, build_image("")))
    assert (status, reason) == ("Failed", "ClientError: Data download failed:Insufficient disk space")
    service.faults.add(FullDisk(volume_bytes=1 << 20))
    image = build_image(
        '(ML / "processing").mkdir(exist_ok=True)\n(ML / "processing/big").write_bytes(b"x" * (2 << 20))'
    )
    status, reason = ended(service, job_request(aws, image))
    assert status == "Failed"
    is_root = probe().kind is IsolationKind.ROOT
    assert ("exit code: 1" if is_root else "cannot inject full-disk: volume_bytes: a size limit needs") in reason


def test_the_faults_of_a_service_can_be_shared(aws: Aws, make_service: Callable[..., Any], tmp_path: Path) -> None:
    faults = Faults(tmp_path / "shared")
    assert make_service(faults=faults).faults is faults


CLOCK = """
import datetime, subprocess
print("before", time.time(), flush=True)
started, real = time.time(), time.monotonic()
print(json.dumps({"event": "object_scored"}), flush=True)
while abs(time.time() - started - (time.monotonic() - real)) < 60:
    assert time.monotonic() < real + 10, "the clock did not jump"
    time.sleep(0.01)
child = "import datetime; print('child', datetime.datetime.now(datetime.UTC).timestamp())"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout, flush=True)
print("after", datetime.datetime.now(datetime.UTC).timestamp(), flush=True)
"""


def test_an_instance_has_a_wrong_clock_that_jumps(service: SageMakerService, aws: Aws, build_image: BuildImage) -> None:
    service.faults.add(InstanceClock(seconds=3600))
    service.faults.add(InstanceClock(seconds=-7200, objects=1))
    began = time.time()
    described = run(service, job_request(aws, build_image(CLOCK)))
    events = log_events(aws, described)
    assert described["ProcessingJobStatus"] == "Completed", events
    ahead = {
        name: float(seconds) - began
        for name, _, seconds in (str(e["message"]).partition(" ") for e in events)
        if name in ("before", "child", "after")
    }
    assert 3600 <= ahead["before"] < 3660
    assert -7200 <= ahead["child"] <= ahead["after"] < -7140
    stamps = sorted(event["timestamp"] / 1000 - began for event in events)
    assert -7201 < stamps[0] < -7140, "a line has the time of the instance's clock"
    assert 3599 < stamps[-1] < 3660
    assert len(service.faults.happened(InstanceClock)) == 2


def test_a_job_that_began_with_the_right_clock_keeps_it(
    service: SageMakerService, aws: Aws, build_image: BuildImage
) -> None:
    job = start(service, job_request(aws, build_image("time.sleep(1); print(time.time())")))
    while not processes_of(job.name):
        time.sleep(0.01)
    service.faults.add(InstanceClock())
    assert job.wait(DEADLINE_SECONDS)
    assert abs(float(logged(aws, job.describe())[0]) - time.time()) < 60
    assert service.faults.happened() == []
