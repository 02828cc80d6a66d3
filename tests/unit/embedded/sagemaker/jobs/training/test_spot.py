"""Managed spot training: interruptions, checkpoints and time limits."""

from collections.abc import Callable

from embedded.faults import InterruptSpot, KillInstance
from embedded.sagemaker.jobs.job import Status
from embedded.sagemaker.service import SageMakerService
from tests.unit.embedded.sagemaker.account import DEADLINE_SECONDS, Aws, allow
from tests.unit.embedded.sagemaker.conftest import ServiceMaker
from tests.unit.embedded.sagemaker.jobs.training.requests import (
    archive,
    has_archive,
    resources,
    run,
    spot,
    start,
    statuses,
    training_request,
)

Trainer = Callable[..., str]

# Six rounds with a checkpoint after each. An attempt that does not reach the last round waits for
# SIGTERM after its second checkpoint. The model holds the first round of each attempt.
ROUNDS = """
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
done = sorted(int(path.stem) for path in CHECKPOINTS.glob("*.round"))
begin = done[-1] + 1 if done else 0
with (CHECKPOINTS / "begins").open("a") as file:
    file.write(f"{begin} ")
for number in range(begin, min(begin + 2, 6)):
    part = CHECKPOINTS / ".part"
    part.write_text(str(number))
    part.rename(CHECKPOINTS / f"{number}.round")
    print(f"round {number}", flush=True)
while begin + 2 < 6 and not ended:
    signal.pause()
if ended:
    (CHECKPOINTS / "farewell").write_text(str(begin))
    sys.exit(143)
(MODEL / "begins").write_text((CHECKPOINTS / "begins").read_text())
(MODEL / "rounds").write_text(" ".join(sorted(path.stem for path in CHECKPOINTS.glob("*.round"))))
"""


# Waits for SIGTERM in each attempt and never ends by itself.
ENDLESS = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
(CHECKPOINTS / f"attempt-{len(list(CHECKPOINTS.iterdir()))}").write_text("x")
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_an_interrupted_job_resumes_from_its_checkpoints(
    any_service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    request = training_request(aws, trainer(ROUNDS), prefix, **spot(aws, prefix))
    any_service.faults.add(InterruptSpot(job="train-*", after_log="round [13]$", count=2))
    described = run(any_service, request)
    assert described["TrainingJobStatus"] == "Completed", described
    assert any_service.faults.pending() == []
    attempt = ["Starting", "Downloading", "Training"]
    interrupted = [*attempt, "Interrupted"]
    assert statuses(described) == [*interrupted, *interrupted, *attempt, "Uploading", "Completed"]
    assert archive(aws, described) == {"begins": b"0 2 4 ", "rounds": b"0 1 2 3 4 5"}
    # Files written after SIGTERM are in S3, too.
    assert aws.get(f"{prefix}checkpoints/farewell") == b"2"
    assert described["BillableTimeInSeconds"] <= described["TrainingTimeInSeconds"]


def test_an_interruption_waits_for_its_number_of_checkpoints(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    # The first attempt uploads `begins` and two rounds. The second also has three files of its own.
    service.faults.add(InterruptSpot(job="train-*", uploads=3))
    image = trainer(ROUNDS.replace("begin + 2 < 6", "begin == 0"))
    described = run(service, training_request(aws, image, prefix, **spot(aws, prefix)))
    assert statuses(described).count("Interrupted") == 1
    assert archive(aws, described)["begins"] == b"0 2 "


def test_checkpoints_of_a_killed_attempt_are_kept(
    make_service: ServiceMaker, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    service = make_service(grace_seconds=0.3)
    image = trainer("""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
last = CHECKPOINTS / "last"
if last.exists():
    (MODEL / "resumed").write_text(last.read_text())
    sys.exit(0)
last.write_text("state")
while True:
    signal.pause()
""")
    service.faults.add(InterruptSpot(job="*", uploads=1))
    described = run(service, training_request(aws, image, prefix, **spot(aws, prefix)))
    assert archive(aws, described) == {"resumed": b"state"}


def test_without_checkpoints_an_interrupted_job_starts_over(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    image = trainer("""
(MODEL / "found").write_text(str(CHECKPOINTS.exists()))
CHECKPOINTS.mkdir()
(CHECKPOINTS / "mine").write_text("x")
key = sys.argv[1]
import boto3
s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
is_second = s3.list_objects_v2(Bucket="jobs-data", Prefix=key).get("KeyCount")
s3.put_object(Bucket="jobs-data", Key=key, Body=b"x")
print("ready", flush=True)
if not is_second:
    signal.pause()
""")
    request = training_request(aws, image, prefix, **spot(aws, prefix, checkpoints=False))
    request["AlgorithmSpecification"]["ContainerArguments"] = [f"{prefix}marker"]
    service.faults.add(InterruptSpot(job="*", after_log="ready"))
    described = run(service, request)
    assert statuses(described).count("Training") == 2
    assert archive(aws, described) == {"found": b"False"}


def test_restored_checkpoints_are_not_uploaded_again(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    aws.put(f"{prefix}checkpoints/deep/old", "kept")
    before = aws.client("s3").head_object(Bucket=aws.bucket, Key=f"{prefix}checkpoints/deep/old")["LastModified"]
    image = trainer("""
place = ML / "mine"
(MODEL / "old").write_text((place / "deep/old").read_text() + HOST)
(place / f"new-{HOST}").write_text("new")
(MODEL / "old").rename(MODEL / HOST)
""")
    config = {"S3Uri": f"s3://{aws.bucket}/{prefix}checkpoints", "LocalPath": "/opt/ml/mine"}
    request = training_request(aws, image, prefix, CheckpointConfig=config, ResourceConfig=resources(2))
    described = run(service, request)
    assert archive(aws, described) == {"algo-1": b"keptalgo-1", "algo-2": b"keptalgo-2"}
    assert aws.keys(f"{prefix}checkpoints/") == [
        f"{prefix}checkpoints/{name}" for name in ("deep/old", "new-algo-1", "new-algo-2")
    ]
    head = aws.client("s3").head_object(Bucket=aws.bucket, Key=f"{prefix}checkpoints/deep/old")
    assert head["LastModified"] == before


def test_checkpoints_need_the_permissions_of_the_job_role(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    models = f"arn:aws:s3:::{aws.bucket}/{prefix}models/*"
    no_list = aws.make_role(allow("s3:PutObject", "s3:GetObject"))
    described = run(service, training_request(aws, trainer(""), prefix, RoleArn=no_list, **spot(aws, prefix)))
    assert f"ListObjectsV2 failed for s3://{aws.bucket}/{prefix}checkpoints" in described["FailureReason"]
    assert "AccessDenied" in described["FailureReason"], described["FailureReason"]
    no_put = aws.make_role(allow("s3:ListBucket"), allow("s3:PutObject", resource=models))
    image = trainer('(CHECKPOINTS / "a").write_text("1")')
    described = run(service, training_request(aws, image, prefix, RoleArn=no_put, **spot(aws, prefix)))
    assert described["TrainingJobStatus"] == "Failed"
    assert f"PutObject failed for s3://{aws.bucket}/{prefix}checkpoints/a: AccessDenied" in described["FailureReason"]


def test_a_failed_checkpoint_upload_fails_the_job(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    role = aws.make_role(allow("s3:ListBucket", "s3:GetObject"))
    service.faults.add(InterruptSpot(job="*", after_log="ready"))
    request = training_request(aws, trainer(ENDLESS), prefix, RoleArn=role, **spot(aws, prefix))
    described = run(service, request)
    assert statuses(described) == ["Starting", "Downloading", "Training", "Failed"]
    assert (
        f"PutObject failed for s3://{aws.bucket}/{prefix}checkpoints/attempt-0: AccessDenied"
        in (described["FailureReason"])
    )


def test_a_job_on_demand_is_not_interrupted(service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str) -> None:
    service.faults.add(InterruptSpot(job="*"))
    described = run(service, training_request(aws, trainer(""), prefix))
    assert statuses(described) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert len(service.faults.pending()) == 1


def test_a_running_job_can_be_interrupted_by_name(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    image = trainer("""
if (CHECKPOINTS / "begun").exists():
    sys.exit(0)
(CHECKPOINTS / "begun").write_text("1")
signal.pause()
""")
    job = start(service, training_request(aws, image, prefix, **spot(aws, prefix)))
    aws.client("s3").get_waiter("object_exists").wait(
        Bucket=aws.bucket, Key=f"{prefix}checkpoints/begun", WaiterConfig={"Delay": 0.05, "MaxAttempts": 600}
    )
    service.faults.add(InterruptSpot(job="another-job"))
    service.faults.add(InterruptSpot(job=job.name))
    assert job.wait(DEADLINE_SECONDS)
    assert statuses(job.describe()).count("Interrupted") == 1
    assert service.faults.pending() == [InterruptSpot(job="another-job")]


def test_the_wait_limit_ends_an_interrupted_job(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    service.faults.add(InterruptSpot(job="*", after_log="ready", count=1000))
    described = run(service, training_request(aws, trainer(ENDLESS), prefix, **spot(aws, prefix, runtime=3, wait=3)))
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert not has_archive(aws, described)
    assert service.faults.clear() == 1


def test_the_runtime_limit_covers_all_attempts(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    service.faults.add(InterruptSpot(job="*", after_log="ready"))
    described = run(service, training_request(aws, trainer(ENDLESS), prefix, **spot(aws, prefix, runtime=2, wait=600)))
    assert described["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert statuses(described)[-4:] == ["Training", "Stopping", "Uploading", "MaxRuntimeExceeded"]


def test_a_stop_overrides_an_interruption(make_service: ServiceMaker, aws: Aws, trainer: Trainer, prefix: str) -> None:
    service = make_service(grace_seconds=DEADLINE_SECONDS)
    image = trainer("""
def hear(*_):
    (CHECKPOINTS / "told").write_text("x")
signal.signal(signal.SIGTERM, hear)
print("armed", flush=True)
while True:
    signal.pause()
""")
    request = training_request(aws, image, prefix, **spot(aws, prefix))
    service.faults.add(InterruptSpot(job="*", after_log="armed"))
    job = start(service, request)
    aws.client("s3").get_waiter("object_exists").wait(
        Bucket=aws.bucket, Key=f"{prefix}checkpoints/told", WaiterConfig={"Delay": 0.05, "MaxAttempts": 600}
    )
    service.call("StopTrainingJob", {"TrainingJobName": job.name})
    service.close()  # kills the instance within its grace period
    assert job.status is Status.STOPPED
    assert statuses(job.describe()).count("Training") == 1


def test_a_lost_instance_fails_a_job_on_demand(
    service: SageMakerService, aws: Aws, trainer: Trainer, prefix: str
) -> None:
    service.faults.add(KillInstance(after_log="ready"))
    image = trainer('print("ready", flush=True)\nsignal.pause()')
    described = run(service, training_request(aws, image, prefix))
    assert statuses(described) == ["Starting", "Downloading", "Training", "Uploading", "Failed"]
    assert described["FailureReason"] == "InternalServerError: We encountered an internal error. Please try again."
