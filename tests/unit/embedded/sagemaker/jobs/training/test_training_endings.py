"""Endings of training jobs: failure, stop, time limit, shutdown, and their files in S3."""

from collections.abc import Callable

from embedded.sagemaker.jobs.job import Status
from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import DEADLINE_SECONDS, Aws
from tests.unit.embedded.sagemaker.conftest import ServiceMaker
from tests.unit.embedded.sagemaker.jobs.training.requests import (
    archive,
    channel,
    has_archive,
    resources,
    run,
    start,
    statuses,
    training_request,
)

Trainer = Callable[..., str]

SAVES_ON_SIGTERM = """
def finish(*_):
    (MODEL / "model.txt").write_text("so far")
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
CHECKPOINTS.mkdir(exist_ok=True)
(CHECKPOINTS / "begun").write_text("1")
while True:
    signal.pause()
"""
IGNORES_SIGTERM = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
CHECKPOINTS.mkdir(exist_ok=True)
(CHECKPOINTS / "begun").write_text("1")
while True:
    signal.pause()
"""


def with_checkpoints(aws: Aws, prefix: str) -> dict[str, object]:
    return {"CheckpointConfig": {"S3Uri": f"s3://{aws.bucket}/{prefix}checkpoints"}}


def await_begin(aws: Aws, prefix: str) -> None:
    aws.client("s3").get_waiter("object_exists").wait(
        Bucket=aws.bucket, Key=f"{prefix}checkpoints/begun", WaiterConfig={"Delay": 0.05, "MaxAttempts": 600}
    )


def test_the_failure_file_becomes_the_failure_reason(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    image = trainer("""
(ML / "output/failure").write_text("DATA: the label holds only one class\\n")
(ML / "output/data/trace.txt").write_text("where")
sys.exit(3)
""")
    described = run(service, training_request(aws, image, prefix))
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Failed", "Failed")
    assert described["FailureReason"] == "AlgorithmError: DATA: the label holds only one class, exit code: 3"
    assert not has_archive(aws, described)
    assert archive(aws, described, "output.tar.gz") == {"trace.txt": b"where"}


def test_a_long_reason_is_cut_and_an_empty_one_has_the_exit_code(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    image = trainer('(ML / "output/failure").write_text("é" * 5000, encoding="utf-8")\nsys.exit(1)')
    reason = run(service, training_request(aws, image, prefix))["FailureReason"]
    assert reason == ("AlgorithmError: " + "é" * 5000)[:1024]
    killed = trainer("os.kill(os.getpid(), signal.SIGKILL)")
    assert run(service, training_request(aws, killed, prefix))["FailureReason"] == "AlgorithmError: , exit code: 137"


def test_the_first_failed_instance_gives_the_reason(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    image = trainer("""
(ML / "output/failure").write_text(HOST)
if HOST == "algo-2":
    sys.exit(4)
signal.pause()
""")
    described = run(service, training_request(aws, image, prefix, ResourceConfig=resources(2)))
    assert described["FailureReason"] == "AlgorithmError: algo-2, exit code: 4"


def test_a_stopped_job_can_still_save_its_model(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    job = start(service, training_request(aws, trainer(SAVES_ON_SIGTERM), prefix, **with_checkpoints(aws, prefix)))
    await_begin(aws, prefix)
    service.call("StopTrainingJob", {"TrainingJobName": job.name})
    assert job.wait(DEADLINE_SECONDS)
    described = job.describe()
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert statuses(described) == ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]
    assert archive(aws, described) == {"model.txt": b"so far"}


def test_a_job_that_ignores_sigterm_is_killed(
    make_service: ServiceMaker, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    service = make_service(grace_seconds=0.3)
    job = start(service, training_request(aws, trainer(IGNORES_SIGTERM), prefix, **with_checkpoints(aws, prefix)))
    await_begin(aws, prefix)
    service.call("StopTrainingJob", {"TrainingJobName": job.name})
    assert job.wait(DEADLINE_SECONDS)
    assert job.status is Status.STOPPED
    assert not has_archive(aws, job.describe())


def test_a_job_stops_at_its_runtime_limit(service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str) -> None:
    request = training_request(aws, trainer(SAVES_ON_SIGTERM), prefix, StoppingCondition={"MaxRuntimeInSeconds": 1})
    described = run(service, request)
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert statuses(described)[-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]


def test_a_job_stopped_while_waiting_never_starts(
    make_service: ServiceMaker, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    service = make_service(max_running_instances=1)
    running = start(service, training_request(aws, trainer(SAVES_ON_SIGTERM), prefix))
    waiting = start(service, training_request(aws, trainer(SAVES_ON_SIGTERM), prefix))
    service.call("StopTrainingJob", {"TrainingJobName": waiting.name})
    assert waiting.wait(DEADLINE_SECONDS)
    described = waiting.describe()
    assert statuses(described) == ["Starting", "Stopping", "Stopped"]
    assert "TrainingStartTime" not in described
    assert "BillableTimeInSeconds" not in described
    assert running.status is Status.IN_PROGRESS


def test_close_stops_a_running_job(make_service: ServiceMaker, aws: Aws, trainer: Trainer, prefix: str) -> None:
    service = make_service()
    job = start(service, training_request(aws, trainer(IGNORES_SIGTERM), prefix, **with_checkpoints(aws, prefix)))
    await_begin(aws, prefix)
    service.close()
    assert job.status is Status.STOPPED


def test_a_channel_without_objects_fails_the_job(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    data = channel("train", f"s3://{aws.bucket}/{prefix}nothing/")
    described = run(service, training_request(aws, trainer(""), prefix, InputDataConfig=[data]))
    assert "No S3 objects found" in described["FailureReason"]
    assert statuses(described) == ["Starting", "Downloading", "Failed"]
