"""How processing jobs end: failure, stop, time limit, shutdown, and their exit messages."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.sandbox.isolation import Isolation
from embedded.sagemaker.jobs.job import Job, Status
from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import (
    DEADLINE_SECONDS,
    Aws,
    instances,
    job_request,
    outputs_to,
    processes_of,
    results,
    run,
    start,
)
from tests.unit.embedded.sagemaker.conftest import ServiceMaker

BuildImage = Callable[..., str]


def test_a_failed_instance_ends_the_others_and_fails_the_job(
    service: SageMakerService, aws: Aws, build_image: BuildImage
) -> None:
    image = build_image("""
host = json.loads((ML / "config/resourceconfig.json").read_text())["current_host"]
if host == "algo-2":
    (ML / "output/message").write_text(host)
    sys.exit(4)
signal.pause()
""")
    described = run(service, job_request(aws, image, ProcessingResources=instances(2)))
    assert described["ProcessingJobStatus"] == "Failed"
    assert described["FailureReason"].endswith("exit code: 4")
    assert described["ExitMessage"] == "algo-2"


def test_exit_messages_are_joined_and_cut_at_one_kilobyte(
    service: SageMakerService, aws: Aws, build_image: BuildImage
) -> None:
    image = build_image('(ML / "output/message").write_text("é" * 300, encoding="utf-8")')
    described = run(service, job_request(aws, image, ProcessingResources=instances(2)))
    assert described["ProcessingJobStatus"] == "Completed"
    assert described["ExitMessage"] == "é" * 512


def test_an_exit_message_that_is_not_utf_8_fails_the_job(
    service: SageMakerService, aws: Aws, build_image: BuildImage
) -> None:
    described = run(service, job_request(aws, build_image('(ML / "output/message").write_bytes(b"\\xff")')))
    assert described["ProcessingJobStatus"] == "Failed"
    assert "algo-1 in /opt/ml/output/message is not UTF-8" in described["FailureReason"]


def test_a_job_gets_sigterm_at_its_runtime_limit(
    service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    image = build_image("""
def finish(*_):
    (OUTPUT / "result/partial").write_text("kept")
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
while True:
    signal.pause()
""")
    request = job_request(
        aws,
        image,
        StoppingCondition={"MaxRuntimeInSeconds": 1},
        ProcessingOutputConfig=outputs_to(aws, prefix, mode="Continuous"),
    )
    described = run(service, request)
    assert described["ProcessingJobStatus"] == "Stopped"
    assert described["ProcessingEndTime"] - described["ProcessingStartTime"] >= 1
    assert results(aws, prefix) == {"partial": b"kept"}


IGNORES_STOP = """
import subprocess
signal.signal(signal.SIGTERM, lambda *_: (ML / "output/message").write_text("heard"))
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
(OUTPUT / "result/started").touch()
while True:
    signal.pause()
"""


def test_a_job_that_ignores_sigterm_is_killed(
    make_service: ServiceMaker, aws: Aws, build_image: BuildImage, prefix: str, any_isolation: Isolation
) -> None:
    service = make_service(grace_seconds=0.3, isolation=any_isolation)
    request = job_request(
        aws, build_image(IGNORES_STOP), ProcessingOutputConfig=outputs_to(aws, prefix, mode="Continuous")
    )
    job = start(service, request)
    await_start(aws, prefix, job)
    service.call("StopProcessingJob", {"ProcessingJobName": job.name})
    assert job.describe()["ProcessingJobStatus"] in {"Stopping", "Stopped"}
    assert job.wait(DEADLINE_SECONDS)
    assert (job.status, job.exit_message) == (Status.STOPPED, "heard")
    assert processes_of(job.name) == []


def await_start(aws: Aws, prefix: str, job: Job) -> None:
    """Wait until a job of IGNORES_STOP has started its child process."""
    aws.client("s3").get_waiter("object_exists").wait(
        Bucket=aws.bucket, Key=f"{prefix}result/started", WaiterConfig={"Delay": 0.05, "MaxAttempts": 600}
    )
    assert len(processes_of(job.name)) == (2 if Path("/proc").is_dir() else 0)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes that leave their group are found through /proc")
def test_a_process_that_left_its_group_ends_with_the_job(
    any_service: SageMakerService, aws: Aws, build_image: BuildImage, prefix: str
) -> None:
    image = build_image("""
import subprocess
subprocess.Popen(["sleep", "600"], start_new_session=True)
""")
    described = run(any_service, job_request(aws, image, ProcessingOutputConfig=outputs_to(aws, prefix)))
    assert described["ProcessingJobStatus"] == "Completed"
    assert processes_of(described["ProcessingJobName"]) == []


def test_close_ends_running_and_waiting_jobs(
    make_service: ServiceMaker, aws: Aws, build_image: BuildImage, prefix: str, tmp_path: Path
) -> None:
    service = make_service(max_running_instances=1)
    image = build_image(IGNORES_STOP)
    outputs = outputs_to(aws, prefix, mode="Continuous")
    running = start(service, job_request(aws, image, ProcessingOutputConfig=outputs))
    waiting = start(service, job_request(aws, image))
    await_start(aws, prefix, running)
    service.close()
    assert {running.status, waiting.status} == {Status.STOPPED}
    assert waiting.started_at is None
    assert processes_of(running.name) == []
    assert not (tmp_path / "sagemaker-0/jobs").exists()


def test_waiting_for_a_slot_does_not_count_as_runtime(
    make_service: ServiceMaker, aws: Aws, build_image: BuildImage
) -> None:
    service = make_service(max_running_instances=1)
    first = start(service, job_request(aws, build_image("time.sleep(1.2)")))
    second = start(service, job_request(aws, build_image(""), StoppingCondition={"MaxRuntimeInSeconds": 1}))
    assert "ProcessingStartTime" not in second.describe()
    assert first.wait(DEADLINE_SECONDS)
    assert second.wait(DEADLINE_SECONDS)
    assert second.status is Status.COMPLETED
    assert first.ended_at is not None
    assert second.started_at is not None
    assert second.started_at >= first.ended_at


def test_a_job_wider_than_all_slots_runs_alone(make_service: ServiceMaker, aws: Aws, build_image: BuildImage) -> None:
    service = make_service(max_running_instances=1)
    described = run(service, job_request(aws, build_image(""), ProcessingResources=instances(3)))
    assert described["ProcessingJobStatus"] == "Completed"
