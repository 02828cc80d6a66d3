"""How training jobs end: by themselves, late, on request, with the service, and what they leave then."""

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

# Trains until it is told to stop; then it saves what it has and ends well.
PATIENT = """
def finish(*_):
    (MODEL / "model.txt").write_text("so far")
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
CHECKPOINTS.mkdir(exist_ok=True)
(CHECKPOINTS / "begun").write_text("1")
while True:
    signal.pause()
"""
DEAF = """
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


def test_the_failure_file_becomes_the_reason(
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


def test_a_long_reason_is_cut_and_none_still_tells_the_exit_code(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    image = trainer('(ML / "output/failure").write_text("é" * 5000, encoding="utf-8")\nsys.exit(1)')
    reason = run(service, training_request(aws, image, prefix))["FailureReason"]
    assert reason == ("AlgorithmError: " + "é" * 5000)[:1024]
    killed = trainer("os.kill(os.getpid(), signal.SIGKILL)")
    assert run(service, training_request(aws, killed, prefix))["FailureReason"] == "AlgorithmError: , exit code: 137"


def test_one_failing_instance_ends_the_others_and_gives_the_reason(
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


def test_a_stopped_job_has_time_to_save_its_model(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    job = start(service, training_request(aws, trainer(PATIENT), prefix, **with_checkpoints(aws, prefix)))
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
    job = start(service, training_request(aws, trainer(DEAF), prefix, **with_checkpoints(aws, prefix)))
    await_begin(aws, prefix)
    service.call("StopTrainingJob", {"TrainingJobName": job.name})
    assert job.wait(DEADLINE_SECONDS)
    assert job.status is Status.STOPPED
    assert not has_archive(aws, job.describe())


def test_a_job_over_its_runtime_is_stopped(service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str) -> None:
    request = training_request(aws, trainer(PATIENT), prefix, StoppingCondition={"MaxRuntimeInSeconds": 1})
    described = run(service, request)
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert statuses(described)[-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]


def test_a_job_that_is_stopped_before_it_has_a_place_never_starts(
    make_service: ServiceMaker, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    service = make_service(max_running_instances=1)
    running = start(service, training_request(aws, trainer(PATIENT), prefix))
    waiting = start(service, training_request(aws, trainer(PATIENT), prefix))
    service.call("StopTrainingJob", {"TrainingJobName": waiting.name})
    assert waiting.wait(DEADLINE_SECONDS)
    described = waiting.describe()
    assert statuses(described) == ["Starting", "Stopping", "Stopped"]
    assert "TrainingStartTime" not in described
    assert "BillableTimeInSeconds" not in described
    assert running.status is Status.IN_PROGRESS


def test_close_ends_a_running_job(make_service: ServiceMaker, aws: Aws, trainer: Trainer, prefix: str) -> None:
    service = make_service()
    job = start(service, training_request(aws, trainer(DEAF), prefix, **with_checkpoints(aws, prefix)))
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
