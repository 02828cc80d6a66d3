import hashlib
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from contract import codec, layout, training_layout
from contract.catalog.model_formats import ModelFormat
from contract.catalog.models import DeletedVersion
from contract.status import ExecutionKind, ExecutionStatus, JobStatus
from contract.table import catalog_items
from contract.training.recipes import ModelRecipe, TrainingCode, TrainingCompute
from contract.workflow.messages import ExecutionPlan
from lambdas.errors import ExecutionNameUsedError, InvalidRequestError, PlanChangedError
from lambdas.stage.buckets.stored_object import StoredObject
from lambdas.stage.tables.job_table import JobTable
from tests.unit.lambdas.builders import (
    CORE_IMAGE,
    PYTORCH_IMAGE,
    STAGE_COMPUTE,
    STARTED_AT,
    Stage,
    execution_arn,
    pointer_event,
)
from tests.unit.lambdas.conftest import Step
from tests.unit.lambdas.training_builders import (
    FLIGHTS,
    any_recipe,
    put_current,
    put_recipe,
    put_trainable,
    train,
    training_arn,
    training_event,
)


def test_one_job_per_recipe_is_planned(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage, any_recipe(), any_recipe("delays-aa"))
    plan = codec.from_json(ExecutionPlan, plan_training(training_event({})))
    assert (plan.job_count, plan.max_concurrency, plan.tolerated_failure_percentage) == (2, 20, 100)
    execution = stage.execution("t-1")
    assert (execution.kind, execution.status, execution.plan) == (ExecutionKind.TRAINING, ExecutionStatus.RUNNING, plan)
    job = stage.job("delays-ua", "t-1")
    version = training_layout.trained_version(training_arn(), STARTED_AT, "delays-ua")
    assert (job.kind, job.status, job.model_versions) == (ExecutionKind.TRAINING, JobStatus.PENDING, (version,))
    assert (job.dataset, job.object_count, job.compute.instance_count) == ("flights-to-learn", 1, 1)
    assert job.compute.instance_type == STAGE_COMPUTE.instance_type
    spec = stage.deployment.store.training_spec("t-1", "delays-ua")
    assert (spec.version, spec.metric, spec.label) == (version, "auc", "late")
    assert [item.key for item in spec.objects] == ["a.parquet"]
    assert stage.deployment.store.recipe_copy("t-1", "delays-ua") == any_recipe()
    assert stage.read_json(training_layout.training_manifest_key("t-1", "delays-ua", "train")) == [
        {"prefix": "s3://datasets-test/"},
        "flights-to-learn/a.parquet",
    ]
    pointers = stage.read_json(plan.jobs_key)
    assert [pointer["job_id"] for pointer in pointers] == ["delays-aa", "delays-ua"]


def test_a_second_plan_returns_the_first(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage)
    first = plan_training(training_event({}))
    put_recipe(stage, any_recipe(seed=2))
    assert plan_training(training_event({})) == first
    assert stage.deployment.store.recipe_copy("t-1", "delays-ua").seed == 0


def test_a_recipe_changed_since_an_interrupted_plan_is_refused(
    stage: Stage, plan_training: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_trainable(stage)
    with monkeypatch.context() as patch:
        patch.setattr(JobTable, "add_jobs", _interrupt)
        with pytest.raises(RuntimeError):
            plan_training(training_event({}))
    put_recipe(stage, any_recipe(seed=2))
    with pytest.raises(PlanChangedError):
        plan_training(training_event({}))


def _interrupt(*_: Any) -> int:
    raise RuntimeError("the function ran out of time")


def test_all_problems_of_all_recipes_are_reported_together(stage: Stage, plan_training: Step) -> None:
    put_trainable(
        stage,
        any_recipe("no-label", label="delayed"),
        any_recipe("no-data", training_dataset="nowhere"),
        any_recipe("no-judge", validation_dataset="nobody"),
    )
    with pytest.raises(InvalidRequestError) as raised:
        plan_training(training_event({"models": ["no-label", "no-data", "no-judge", "unknown"]}))
    for words in ("'delayed'", "'nowhere'", "'nobody'", "models[3]: got 'unknown'", "recipe set"):
        assert words in str(raised.value)
    assert stage.execution("t-1").status is ExecutionStatus.FAILED
    assert stage.execution("t-1").reason == raised.value.reason


@pytest.mark.parametrize(
    ("request_", "words"),
    [([], "a JSON object"), ({"dataset": "x"}, "no such field"), ({"models": []}, "at least one model id")],
)
def test_an_invalid_request_is_refused(stage: Stage, plan_training: Step, request_: Any, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        plan_training(training_event(request_))


def test_a_request_without_any_recipe_says_how_to_set_one(stage: Stage, plan_training: Step) -> None:
    with pytest.raises(InvalidRequestError, match="models recipe set"):
        plan_training(training_event({}))


def test_a_disabled_model_is_skipped_or_refused_when_named(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage, any_recipe(), any_recipe("delays-aa"))
    stage.register("delays-aa", enabled=False)
    assert plan_training(training_event({}))["job_count"] == 1
    with pytest.raises(InvalidRequestError, match="models enable delays-aa"):
        plan_training(training_event({"models": ["delays-aa"]}, "t-2"))


def test_columns_of_both_datasets_are_checked(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage, any_recipe(validation_dataset="flights-to-judge"))
    stage.upload_table(FLIGHTS.drop_columns(["hour"]), "flights-to-judge")
    with pytest.raises(InvalidRequestError, match=r"flights-to-judge.*hour"):
        plan_training(training_event({}))
    stage.upload_table(FLIGHTS, "flights-to-judge")
    plan_training(training_event({}, "t-2"))
    spec = stage.deployment.store.training_spec("t-2", "delays-ua")
    assert [item.key for item in spec.validation_objects] == ["a.parquet"]


def test_key_columns_are_not_needed_for_training(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage, any_recipe(key_columns=("flight_id",), columns="keys"))
    assert plan_training(training_event({}))["job_count"] == 1


def test_output_column_names_do_not_matter_for_training(stage: Stage, plan_training: Step) -> None:
    names = {"output_columns": ("hour",), "row_number_column": "distance"}
    put_trainable(stage, any_recipe(key_columns=("flight_id",), columns="keys", **names))
    assert plan_training(training_event({}))["job_count"] == 1


def test_a_script_is_copied_only_with_the_recipes_digest(stage: Stage, plan_training: Step) -> None:
    archive = b"an archive"
    sha256 = hashlib.sha256(archive).hexdigest()
    put_trainable(stage, any_recipe(trainer="script", code=TrainingCode("train.py", sha256, len(archive))))
    key = training_layout.code_key("delays-ua", sha256)
    with pytest.raises(InvalidRequestError, match=r"code.*SHA-256"):
        plan_training(training_event({}, "missing"))
    stage.s3.put_object(Bucket=stage.models, Key=key, Body=archive + b", changed")
    with pytest.raises(InvalidRequestError, match="another archive"):
        plan_training(training_event({}, "another"))
    stage.s3.put_object(Bucket=stage.models, Key=key, Body=archive)
    plan_training(training_event({}))
    copied = stage.s3.get_object(Bucket=stage.results, Key=training_layout.job_code_key("t-1", "delays-ua"))
    assert copied["Body"].read() == archive


def script_recipe(stage: Stage, model_id: str, format_: ModelFormat) -> ModelRecipe:
    """Upload a script and return its recipe."""
    archive = b"an archive"
    code = TrainingCode("train.py", hashlib.sha256(archive).hexdigest(), len(archive))
    stage.s3.put_object(Bucket=stage.models, Key=training_layout.code_key(model_id, code.sha256), Body=archive)
    return any_recipe(model_id, trainer="script", format=format_, code=code)


def test_a_script_runs_in_the_image_of_its_framework(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage, script_recipe(stage, "network", "pytorch-export"), any_recipe())
    plan_training(training_event({}))
    images = {job.job_id: job.image_uri for job in stage.deployment.table.jobs("t-1")}
    assert images == {"network": PYTORCH_IMAGE, "delays-ua": CORE_IMAGE}


def test_a_script_whose_image_is_not_deployed_is_refused(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage, script_recipe(stage, "network", "tensorflow-savedmodel"))
    with pytest.raises(InvalidRequestError) as refused:
        plan_training(training_event({}))
    text = str(refused.value)
    assert "model 'network': framework: got 'tensorflow', expected one that the deployed images have" in text
    assert "Add 'tensorflow' to the setting image_variants and deploy again" in text


def test_the_recipes_compute_overrides_the_stages(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage, any_recipe(compute=TrainingCompute(instance_type="ml.c5.xlarge")))
    plan_training(training_event({}))
    assert stage.job("delays-ua", "t-1").compute == replace(
        STAGE_COMPUTE, instance_type="ml.c5.xlarge", instance_count=1, spot=False
    )


def test_a_scoring_execution_with_the_same_name_keeps_its_records(
    stage: Stage, plan_training: Step, plan: Step
) -> None:
    put_trainable(stage)
    put_current(stage)
    stage.upload()
    event = training_event({}, "same")
    with pytest.raises(InvalidRequestError):
        plan({**event, "execution_arn": execution_arn("same"), "request": {"models": ["nobody"]}})
    with pytest.raises(ExecutionNameUsedError):
        plan_training(event)


def test_an_unreadable_object_does_not_refuse_the_plan(stage: Stage, plan_training: Step) -> None:
    put_recipe(stage, any_recipe())
    stage.upload("flights-to-learn", ["damaged.parquet"])
    assert plan_training(training_event({}))["job_count"] == 1


def test_a_training_dataset_of_text_is_refused(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage)
    stage.upload("flights-to-learn", ["late.csv", "more.jsonl.gz"])
    with pytest.raises(InvalidRequestError, match=r"2 of 3 objects that are text, the first is 'late\.csv'.*Convert"):
        plan_training(training_event({}))


@pytest.mark.parametrize(("instance_type", "refused"), [("ml.m5.large", True), ("ml.g5.xlarge", False)])
def test_training_data_larger_than_the_volume_is_refused(
    stage: Stage, plan_training: Step, monkeypatch: pytest.MonkeyPatch, instance_type: str, refused: bool
) -> None:
    put_trainable(stage, any_recipe(compute=TrainingCompute(instance_type=instance_type, volume_size_gb=2)))
    listed = [StoredObject(f"{number}.parquet", 10**9, "e", 0.0) for number in range(3)]
    monkeypatch.setattr(stage.deployment.store, "dataset_objects", lambda _dataset: listed)
    if not refused:
        assert plan_training(training_event({}))["job_count"] == 1
        return
    with pytest.raises(InvalidRequestError) as error:
        plan_training(training_event({}))
    assert "compute.volume_size_gb: got 2, expected room for 3.0 GB of training data. Set it to 4" in str(error.value)


def test_an_archived_training_object_is_refused(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage)
    key = layout.dataset_prefix("flights-to-learn") + "b.parquet"
    stage.s3.put_object(Bucket=stage.datasets, Key=key, Body=b"x", StorageClass="DEEP_ARCHIVE")
    with pytest.raises(InvalidRequestError, match=r"The first: b\.parquet \(DEEP_ARCHIVE\)"):
        plan_training(training_event({}))


def test_a_recipes_instance_type_that_the_stage_does_not_allow_is_refused(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage, any_recipe(compute=TrainingCompute(instance_type="ml.p4d.24xlarge")))
    with pytest.raises(InvalidRequestError, match=r"compute\.instance_type: got 'ml\.p4d\.24xlarge'"):
        plan_training(training_event({}))


@pytest.mark.parametrize(
    ("labels", "fields", "words"),
    [
        (pa.array([b"0", b"1", b"0"]), {}, "'late of type binary in a.parquet', expected a label of task 'binary'"),
        (pa.array([[0], [1], [0]]), {}, "late of type list<int64>"),
        (pa.array([0, 1, 0], pa.timestamp("us")), {}, r"late of type timestamp\[us\]"),
        (["no", "yes", "no"], {}, "numbered from 0; number them in the dataset, or use trainer 'sklearn'"),
        (["0.5", "1", "2"], {"task": "regression", "metric": "rmse"}, "numbers or bool"),
    ],
    ids=["bytes", "lists", "times", "text-for-xgboost", "text-for-a-regression"],
)
def test_labels_that_the_trainer_cannot_take_are_refused_before_a_job_starts(
    stage: Stage, plan_training: Step, labels: Any, fields: dict[str, Any], words: str
) -> None:
    put_trainable(stage, any_recipe(**fields))
    stage.upload_table(FLIGHTS.set_column(2, "late", pa.array(labels)), "flights-to-learn")
    with pytest.raises(InvalidRequestError, match=words):
        plan_training(training_event({}))


def test_labels_of_two_kinds_are_refused(stage: Stage, plan_training: Step) -> None:
    put_trainable(stage, any_recipe(validation_dataset="flights-to-judge"))
    stage.upload_table(FLIGHTS.set_column(2, "late", pa.array([False, True, False])), "flights-to-judge")
    with pytest.raises(InvalidRequestError, match=r"whole in flights-to-learn/a\.parquet, bool in flights-to-judge"):
        plan_training(training_event({}))


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([0, 1, 0], pa.int8()),
        pa.array([0.0, 1.0, 0.0]),
        pa.array([False, True, False]),
        pa.array([0, 1, 0]).dictionary_encode(),
    ],
    ids=["int8", "double", "bool", "dictionary"],
)
def test_labels_that_the_trainer_may_take_are_planned(stage: Stage, plan_training: Step, labels: Any) -> None:
    put_trainable(stage)
    stage.upload_table(FLIGHTS.set_column(2, "late", labels), "flights-to-learn")
    assert plan_training(training_event({}))["job_count"] == 1


def test_unchanged_models_are_not_trained_again(
    stage: Stage, plan_training: Step, record: Step, register: Step
) -> None:
    put_trainable(stage)
    plan_training(training_event({}))
    record(pointer_event(execution_id="t-1"))
    train(stage)
    register(pointer_event(execution_id="t-1"))
    version = stage.job("delays-ua", "t-1").model_versions[0]

    later = "2026-07-02T12:30:00.000Z"
    put_recipe(stage, any_recipe(updated_at="set again"))
    plan_training(training_event({}, "t-2", later))
    assert stage.job("delays-ua", "t-2").unchanged_since == version
    assert record(pointer_event(execution_id="t-2"))["unchanged"] is True
    register(pointer_event(execution_id="t-2"))
    job = stage.job("delays-ua", "t-2")
    assert (job.status, job.model_versions, job.sagemaker_job_name) == (JobStatus.SUCCEEDED, (version,), "")
    assert job.outcome.startswith(
        f"no new version: objects, recipe, seed and image are unchanged since version {version}, which is PROMOTED"
    )
    [model] = stage.deployment.table.models(["delays-ua"]).values()
    assert len(model.history) == 1

    # After a rollback, the last trained version is not the current one: its state alone would mislead.
    stage.table.put_item(Item=catalog_items.model_item(replace(model, current_version="7")))
    plan_training(training_event({}, "t-3", later))
    record(pointer_event(execution_id="t-3"))
    register(pointer_event(execution_id="t-3"))
    said = f"since version {version}, which was promoted, but is not current: 7 is. train_unchanged"
    assert said in stage.job("delays-ua", "t-3").outcome


@pytest.mark.parametrize("change", ["data", "seed", "force", "deleted", "image"])
def test_a_model_is_trained_when_something_has_changed(
    stage: Stage, plan_training: Step, record: Step, register: Step, change: str
) -> None:
    put_trainable(stage)
    plan_training(training_event({}))
    record(pointer_event(execution_id="t-1"))
    train(stage)
    register(pointer_event(execution_id="t-1"))
    version = stage.deployment.table.last_trained_version("delays-ua")
    assert version is not None
    if change == "data":
        stage.upload_table(FLIGHTS, "flights-to-learn", "b.parquet")
    elif change == "seed":
        put_recipe(stage, any_recipe(seed=1))
    elif change == "deleted":
        gone = DeletedVersion("delays-ua", version.spec.version, "2026-07-01")
        stage.table.put_item(Item=catalog_items.deleted_version_item(gone))
    elif change == "image":
        trained_by = replace(version.trained_by, inputs_sha256="of another image")
        stage.table.put_item(Item=catalog_items.version_item(replace(version, trained_by=trained_by)))
    request = {"train_unchanged": True} if change == "force" else {}
    plan_training(training_event(request, "t-2", "2026-07-02T12:30:00.000Z"))
    assert stage.job("delays-ua", "t-2").unchanged_since == ""
