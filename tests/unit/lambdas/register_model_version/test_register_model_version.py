import gzip
import hashlib
import tarfile
from dataclasses import replace
from typing import Any

import pytest

from contract import layout, training_layout
from contract.catalog.models import DeletedVersion, Model, ModelVersion
from contract.status import AttemptStatus, FailureKind, JobStatus, VersionState
from contract.table import catalog_items
from contract.table.catalog_ids import catalog_id_key
from lambdas.errors import (
    ArtifactMissingError,
    JobClosedError,
    ModelContendedError,
    ObjectReplacedError,
    StaleEventError,
    TrainedArtifactError,
)
from lambdas.stage.buckets.training_objects import MAX_REPORT_BYTES
from lambdas.stage.tables.job_table import JobTable
from tests.unit.archives_of_attackers import member, packed
from tests.unit.lambdas.builders import STARTED_AT, Stage, any_model_spec, pointer_event
from tests.unit.lambdas.conftest import Step
from tests.unit.lambdas.training_builders import (
    FLIGHTS,
    MODEL_FILE,
    pack,
    put_current,
    put_trainable,
    train,
    training_arn,
    training_event,
)

POINTER = pointer_event(execution_id="t-1")
VERSION = training_layout.trained_version(training_arn(), STARTED_AT, "delays-ua")


@pytest.fixture
def running(stage: Stage, plan_training: Step, record: Step) -> Stage:
    """Return a stage with one training job whose first attempt is open."""
    put_trainable(stage)
    plan_training(training_event({}))
    record(POINTER)
    return stage


def model(stage: Stage) -> Model | None:
    return stage.deployment.table.models(["delays-ua"]).get("delays-ua")


def version(stage: Stage) -> Any:
    return stage.deployment.table.version("delays-ua", VERSION)


def test_registration_writes_version_promotion_and_job_end(running: Stage, register: Step) -> None:
    artifact = train(running)
    assert register(POINTER)["job_id"] == "delays-ua"
    found = version(running)
    assert found.spec.artifact_sha256 == hashlib.sha256(artifact).hexdigest()
    assert found.spec.artifact_bytes == len(artifact)
    assert (found.spec.framework_version, found.metrics) == ("3.0.0", {"auc": 0.81, "accuracy": 0.75})
    assert (found.dataset, found.tags) == ("flights", {"team": "risk"})
    assert (found.trained_by.execution_id, found.trained_by.rows_held_out) == ("t-1", 20)
    key = layout.artifact_key("delays-ua", VERSION)
    assert running.s3.get_object(Bucket=running.models, Key=key)["Body"].read() == artifact
    promoted = model(running)
    assert promoted is not None
    reason = "auc 0.81 >= floor 0.7 and no version before"
    assert (promoted.current_version, promoted.history[-1].reason) == (VERSION, reason)
    assert (promoted.history[-1].changed_by, promoted.tags) == (training_arn(), {"team": "risk"})
    assert (found.decision.state, found.decision.reason) == (VersionState.PROMOTED, reason)
    job = running.job("delays-ua", "t-1")
    assert (job.status, job.rows_in) == (JobStatus.SUCCEEDED, 100)
    assert job.outcome == f"version {VERSION} is current now: {reason}"
    assert running.attempt(execution_id="t-1").status is AttemptStatus.SUCCEEDED


def test_a_second_call_registers_nothing(running: Stage, register: Step) -> None:
    train(running)
    first = register(POINTER)
    before = (version(running), model(running))
    assert register(POINTER) == first
    assert (version(running), model(running)) == before


def test_a_second_call_completes_one_interrupted_after_the_copy(
    running: Stage, register: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(running)
    with monkeypatch.context() as patch:
        patch.setattr(JobTable, "register_trained", _interrupt)
        with pytest.raises(RuntimeError):
            register(POINTER)
    assert version(running) is None
    register(POINTER)
    assert version(running).decision.state is VersionState.PROMOTED


def _interrupt(*_: Any, **__: Any) -> bool:
    raise RuntimeError("the function ran out of time")


def test_a_worse_version_is_registered_but_not_promoted(running: Stage, register: Step) -> None:
    put_current(running, metrics={"auc": 0.9})
    train(running)
    register(POINTER)
    found = model(running)
    assert found is not None
    assert found.current_version == "1"
    assert version(running).decision.state is VersionState.REJECTED
    assert running.job("delays-ua", "t-1").status is JobStatus.SUCCEEDED


def test_a_concurrent_promotion_changes_the_decision(
    running: Stage, register: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the rule is applied, a better version is promoted, so the decision is made again."""
    put_current(running, metrics={"auc": 0.5})
    train(running)
    real = JobTable.register_trained

    def promote_then_register(table: JobTable, *arguments: Any) -> bool:
        monkeypatch.setattr(JobTable, "register_trained", real)
        put_current(running, metrics={"auc": 0.95})
        running.table.put_item(Item=catalog_items.model_item(Model("delays-ua", "1", updated_at="meanwhile")))
        return real(table, *arguments)

    monkeypatch.setattr(JobTable, "register_trained", promote_then_register)
    register(POINTER)
    assert version(running).decision.state is VersionState.REJECTED
    assert "0.81 < current 0.95" in version(running).decision.reason


def test_constant_contention_raises_and_leaves_the_job_running(
    running: Stage, register: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(running)
    monkeypatch.setattr(JobTable, "register_trained", lambda *_: False)
    with pytest.raises(ModelContendedError):
        register(POINTER)
    assert running.job("delays-ua", "t-1").status is JobStatus.RUNNING


def test_a_closed_job_registers_no_version(running: Stage, register: Step) -> None:
    train(running)
    job = running.job("delays-ua", "t-1")
    running.deployment.table.close_job(job, ended_at="2026-07-01T13:00Z", kind=FailureKind.STOPPED, reason="stopped")
    with pytest.raises(JobClosedError):
        register(POINTER)
    assert (version(running), model(running)) == (None, None)


def test_an_event_about_another_attempt_changes_nothing(running: Stage, register: Step) -> None:
    train(running)
    with pytest.raises(StaleEventError):
        register({**POINTER, "attempt": 2})
    assert version(running) is None


def test_a_missing_artifact_is_refused_with_its_uri(running: Stage, register: Step) -> None:
    with pytest.raises(ArtifactMissingError, match=r"s3://results-test/executions/t-1/.*/output/model\.tar\.gz"):
        register(POINTER)


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (b"no archive at all", "cannot be read as a gzipped tar archive"),
        (pack({"model.json": MODEL_FILE})[:-30], "cannot be read as a gzipped tar archive"),
        (pack({"model.json": MODEL_FILE}), "does not contain fleetscore.json"),
        (pack({"model.json": MODEL_FILE, "fleetscore.json": b" " * (MAX_REPORT_BYTES + 1)}), "at most 1,000,000"),
        (pack({"model.json": MODEL_FILE, "fleetscore.json": b"{}"}), "schema_version"),
    ],
)
def test_an_invalid_artifact_is_not_registered(running: Stage, register: Step, archive: bytes, words: str) -> None:
    train(running, archive=archive)
    with pytest.raises(TrainedArtifactError, match=words):
        register(POINTER)
    assert version(running) is None
    assert running.s3.list_objects_v2(Bucket=running.models).get("KeyCount") == 0


def archive_with_header(kind: bytes, size: int) -> bytes:
    """Return an archive that begins with an extended header of this type and size."""
    member = tarfile.TarInfo("long")
    member.type, member.size = kind, size
    return gzip.compress(member.tobuf() + bytes(size) + bytes(tarfile.RECORDSIZE))


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (archive_with_header(tarfile.XHDTYPE, 2 << 20), "a header of 2,097,152 bytes"),
        (archive_with_header(tarfile.GNUTYPE_LONGNAME, 2 << 20), "a header of 2,097,152 bytes"),
        (archive_with_header(tarfile.GNUTYPE_SPARSE, 0), "sparse"),
        (pack({str(number): b"" for number in range(4)}), "more than 3 files"),
        (packed(member("model.ubj", tarfile.SYMTYPE, "/etc/passwd")), "member 'model.ubj' is a symbolic link"),
    ],
)
def test_an_archive_that_scoring_would_refuse_is_not_registered(
    running: Stage, register: Step, monkeypatch: pytest.MonkeyPatch, archive: bytes, words: str
) -> None:
    monkeypatch.setattr("lambdas.stage.buckets.training_objects.MAX_MEMBERS", 3)
    train(running, archive=archive)
    with pytest.raises(TrainedArtifactError, match=words):
        register(POINTER)
    assert version(running) is None


def test_a_replaced_dataset_registers_no_version(running: Stage, register: Step) -> None:
    train(running)
    running.upload_table(FLIGHTS.slice(1), "flights-to-learn")
    with pytest.raises(ObjectReplacedError, match=r"a\.parquet"):
        register(POINTER)
    assert version(running) is None


def test_an_artifact_of_another_model_is_not_registered(running: Stage, register: Step) -> None:
    train(running, change=lambda report: replace(report, model_id="another", version="x"))
    with pytest.raises(TrainedArtifactError, match="model_id is 'another'"):
        register(POINTER)
    assert running.s3.list_objects_v2(Bucket=running.models).get("KeyCount") == 0


def test_a_record_that_the_table_cannot_store_leaves_no_artifact(running: Stage, register: Step) -> None:
    metrics = {"auc": 0.81, **{f"metric_of_segment_{number:032d}": 0.5 for number in range(6_000)}}
    train(running, change=lambda report: replace(report, metrics=metrics))
    with pytest.raises(TrainedArtifactError, match=r"size of the record: got .*at most 409,600 bytes.*metrics"):
        register(POINTER)
    assert version(running) is None
    assert running.s3.list_objects_v2(Bucket=running.models).get("KeyCount") == 0


def test_the_artifact_of_a_version_that_exists_is_not_overwritten(running: Stage, register: Step) -> None:
    train(running)
    other = ModelVersion(spec=any_model_spec("delays-ua", version=VERSION), dataset="flights")
    running.table.put_item(Item=catalog_items.version_item(other))
    key = layout.artifact_key("delays-ua", VERSION)
    running.s3.put_object(Bucket=running.models, Key=key, Body=b"of the other")
    with pytest.raises(TrainedArtifactError, match="already has, or had, a version"):
        register(POINTER)
    assert running.s3.get_object(Bucket=running.models, Key=key)["Body"].read() == b"of the other"


def test_the_name_of_a_deleted_version_is_not_used_again(running: Stage, register: Step) -> None:
    train(running)
    running.table.put_item(Item=catalog_items.deleted_version_item(DeletedVersion("delays-ua", VERSION, "2026-07-01")))
    with pytest.raises(TrainedArtifactError, match="already has, or had, a version"):
        register(POINTER)
    assert running.s3.list_objects_v2(Bucket=running.models).get("KeyCount") == 0


def test_a_new_model_is_in_the_list_of_ids_at_once(running: Stage, register: Step) -> None:
    train(running)
    register(POINTER)
    key = catalog_id_key("MODEL", "delays-ua")
    assert running.table.get_item(Key=key)["Item"] == key


def test_few_held_out_rows_of_a_class_are_reported(running: Stage, register: Step) -> None:
    train(running, change=lambda report: replace(report, rarest_class_held_out=2))
    register(POINTER)
    [note] = running.job("delays-ua", "t-1").notes
    assert note.startswith("model delays-ua: only 2 of 20 held-out rows have the rarest class")
    assert version(running).trained_by.rarest_class_held_out == 2
