"""An attempt gets more of what the one before it ran out of, and its record says so."""

import pytest

from cli.sandbox.isolation import IsolationKind, probe
from contract.status import AttemptStatus, ExecutionStatus, FailureKind, JobStatus, Shortage
from embedded.faults.delivery_faults import CrashFunction
from embedded.sagemaker.instances.settings import InstanceSettings
from tests.e2e.failing_models import AlwaysFails, NeedsSmallBatches
from tests.e2e.stage import Stage, people, train_xgboost
from tests.e2e.test_instances import MIB, with_noise

SMALLER = "rows per batch 65,536 → 8,192: attempt 1 ran out of memory"


def test_a_model_that_needs_too_much_memory_succeeds_with_smaller_batches(stage: Stage) -> None:
    stage.put_dataset("hungry", {"a.parquet": people(2_500, 1)})
    stage.register("hungry", NeedsSmallBatches(), dataset="hungry")
    snapshot = stage.run({"models": ["hungry"]}, "smaller-batches")
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    first, second = stage.executions.attempts("smaller-batches")["hungry"]
    assert (first.status, first.failure_kind, first.shortage) == (
        AttemptStatus.FAILED,
        FailureKind.TRANSIENT,
        Shortage.MEMORY,
    )
    assert (first.batch_rows, first.changes) == (65_536, ())
    assert "a worker was killed (SIGKILL) while scoring object 'a.parquet'" in first.reason
    assert "Another attempt follows, 2 of at most 3, with rows per batch 65,536 → 8,192." in first.reason
    assert "resume" not in first.reason
    assert (second.batch_rows, second.changes, second.reason) == (8_192, (SMALLER,), "")
    (job,) = snapshot.jobs
    assert job.changes == (SMALLER,)
    assert stage.predictions("hungry", "hungry", "smaller-batches")["a.parquet"].num_rows == 2_500


@pytest.mark.skipif(probe().kind is not IsolationKind.ROOT, reason="disks of a limited size need root on Linux")
def test_a_full_volume_is_followed_by_a_larger_one(stage: Stage) -> None:
    stage.put_dataset("outgrown", {"0.parquet": with_noise(2 * MIB)})
    stage.register("outgrown", train_xgboost(3), dataset="outgrown")
    # A volume of 30 GB, the stage's, gets 3 MiB: enough for the input, but not for its output too.
    stage.aws.instances.set(InstanceSettings(volume_bytes_per_gb=MIB // 10, root_disk_bytes=4 * MIB))
    try:
        snapshot = stage.run({"models": ["outgrown"]}, "larger-volume")
    finally:
        stage.aws.instances.set(InstanceSettings())
        stage.catalog.set_enabled("outgrown", enabled=False)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, "")
    first, second = stage.executions.attempts("larger-volume")["outgrown"]
    assert (first.volume_size_gb, first.shortage) == (30, Shortage.DISK_SPACE)
    assert "Another attempt follows, 2 of at most 3, with volume 30 GB → 60 GB." in first.reason
    assert "Raise volume_size_gb" not in first.reason
    assert (second.volume_size_gb, second.changes) == (60, ("volume 30 GB → 60 GB: attempt 1 ran out of disk space",))
    sizes = [
        job["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] for job in stage.processing_jobs("larger-volume")
    ]
    assert sizes == [30, 60]


def test_a_cause_reaches_the_record_although_classify_failure_crashes(stage: Stage) -> None:
    stage.put_dataset("unclassified", {"a.parquet": people(50, 1)})
    stage.register("unclassified", AlwaysFails(), dataset="unclassified")
    fault = stage.aws.faults.add(CrashFunction(function="*ClassifyFailure*", when="before", count=20))
    try:
        snapshot = stage.run({"models": ["unclassified"]}, "unclassified")
    finally:
        stage.aws.faults.clear(fault)
        stage.catalog.set_enabled("unclassified", enabled=False)
    assert snapshot.status == ExecutionStatus.FAILED
    (job,) = snapshot.jobs
    assert (job.status, job.failure_kind, job.unrecorded_failure) == (JobStatus.FAILED, FailureKind.MODEL, "")
    assert "ValueError at failing_models.py:" in job.reason
    assert "No other attempt followed, because ClassifyFailure failed too (" in job.reason
    assert "`fleetscore resume unclassified`" in job.reason
    (attempt,) = stage.executions.attempts("unclassified")["unclassified"]
    assert attempt.reason == job.reason
