"""A fleet is one job of all its enabled models, and the plan refuses fleets that cannot be scored."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from contract import codec
from contract.catalog.model_fields import Feature
from contract.catalog.models import Compute
from contract.dataset.input_options import InputOptions
from contract.job.fleet import FleetSpec, fleet_model
from contract.layout import models_manifest_key
from contract.status import ExecutionKind
from contract.triggers.uploads import ObjectVersion, UploadManifest
from contract.workflow.request_check import CheckInput, RequestCheck
from lambdas.check_request.check import check_request
from lambdas.errors import InvalidRequestError
from lambdas.stage.resources import resources
from tests.unit.lambdas.builders import Stage, any_model_spec, of_framework, plan_event, pointer_event
from tests.unit.lambdas.training_builders import any_recipe, put_recipe

Step = Callable[[dict[str, Any]], dict[str, Any]]
JOB = "delays.fleet"
FLIGHTS = pa.table({"distance": [1.0], "hour": pa.array([1], pa.int32()), "carrier": ["UA"]})


def _member(stage: Stage, model_id: str, route: Sequence[str] = (), *, enabled: bool = True, **changes: Any) -> None:
    spec = any_model_spec(model_id, **changes)
    stage.register(model_id, spec=spec, fleet="delays", route=route or [model_id.upper()], enabled=enabled)


@pytest.fixture
def fleet(stage: Stage) -> Stage:
    """Return a stage with a fleet of two models and its dataset."""
    stage.set_fleet()
    for model_id in ("ua", "aa"):
        _member(stage, model_id)
    stage.upload_table(FLIGHTS)
    return stage


def _jobs(stage: Stage) -> list[str]:
    return [job.job_id for job in stage.deployment.table.jobs("e-1")]


def _refusal(plan: Step, request: dict[str, Any]) -> str:
    with pytest.raises(InvalidRequestError) as refusal:
        plan(plan_event(request))
    return str(refusal.value)


def _check(request: dict[str, Any]) -> RequestCheck:
    stage = resources()
    event = CheckInput(ExecutionKind.SCORING, request)
    return check_request(event, stage.deployment, stage.plan_defaults, stage.activity)


@pytest.mark.parametrize("request_", [{}, {"fleets": ["delays"]}], ids=str)
def test_a_fleet_is_one_job_of_all_its_models(fleet: Stage, plan: Step, record: Step, request_: dict[str, Any]) -> None:
    plan(plan_event(request_))
    assert _jobs(fleet) == [JOB]
    spec = fleet.spec(job_id=JOB)
    assert spec.fleet == FleetSpec("delays", "carrier", {"AA": "aa", "UA": "ua"})
    assert (spec.output_layout, [model.model_id for model in spec.models]) == ("fleet", ["aa", "ua"])
    job = fleet.job(JOB)
    version = fleet_model(spec.fleet, spec.models).version
    assert (job.fleet, job.fleet_models, job.model_ids, job.model_versions) == ("delays", 2, ("delays",), (version,))
    attempt = record(pointer_event(JOB))
    assert attempt["predictions_uri"] == f"s3://results-test/fleets/dataset=flights/execution_id=e-1/job_id={JOB}"
    artifacts = ["aa/1/model.tar.gz", "ua/1/model.tar.gz"]
    assert fleet.read_json(models_manifest_key("e-1", JOB)) == [{"prefix": "s3://models-test/"}, *artifacts]


def test_other_models_have_their_own_jobs_beside_a_fleet(fleet: Stage, plan: Step) -> None:
    fleet.register("alone")
    plan(plan_event({"output_layout": "joined"}))
    assert _jobs(fleet) == ["alone", JOB]


def test_named_models_and_named_fleets_add_up(fleet: Stage, plan: Step) -> None:
    for model_id in ("alone", "other"):
        fleet.register(model_id)
    plan(plan_event({"models": ["alone"], "fleets": ["delays"]}))
    assert _jobs(fleet) == ["alone", JOB]
    plan(plan_event({"models": ["alone"]}, execution_id="e-2"))
    assert [job.job_id for job in fleet.deployment.table.jobs("e-2")] == ["alone"]


def test_a_request_that_selects_a_part_of_a_fleet_is_refused(fleet: Stage, plan: Step) -> None:
    assert "models[0]: got 'ua', expected a model of no fleet" in _refusal(plan, {"models": ["ua"]})
    spec = any_model_spec("dl")
    fleet.register("dl", spec=spec, fleet="delays", route=["DL"], tags={"team": "ops"})
    filtered = {"models": {"tags": {"team": "ops"}}}
    with pytest.raises(InvalidRequestError, match="1 models of fleet 'delays', without aa, ua"):
        plan(plan_event(filtered, execution_id="e-2"))


def test_tags_of_all_models_of_a_fleet_select_it(stage: Stage, plan: Step) -> None:
    stage.set_fleet()
    for model_id in ("ua", "aa"):
        stage.register(model_id, fleet="delays", route=[model_id], tags={"team": "ops"})
    stage.upload_table(FLIGHTS)
    plan(plan_event({"models": {"tags": {"team": "ops"}}}))
    assert _jobs(stage) == [JOB]


def test_the_request_sets_dataset_compute_and_tolerated_fraction_of_a_fleet(fleet: Stage, plan: Step) -> None:
    fleet.set_fleet(compute=Compute(instance_type="ml.c5.large", volume_size_gb=7), max_attempts=2)
    for key in ("a.parquet", "b.parquet", "c.parquet"):
        fleet.upload_table(FLIGHTS, "others", key)
    request = {"fleets": ["delays"], "dataset": "others", "instance_count": 3, "tolerated_quarantine_fraction": 0.5}
    plan(plan_event(request))
    job = fleet.job(JOB)
    assert (job.dataset, job.max_attempts, job.object_count) == ("others", 2, 3)
    assert job.compute == Compute("ml.c5.large", 3, 7, 3_600, (), 100)
    assert {model.tolerated_quarantine_fraction for model in fleet.spec(job_id=JOB).models} == {0.5}


def test_disabled_models_are_left_out_and_noted(fleet: Stage, plan: Step) -> None:
    _member(fleet, "dl", enabled=False)
    plan(plan_event({}))
    assert "DL" not in (fleet.spec(job_id=JOB).fleet or FleetSpec("x", "y", {"DL": "z"})).routes
    check = _check({})
    assert (check.model_count, check.jobs[0].models) == (2, 2)
    assert check.notes == ("fleet 'delays': routes of disabled models, whose rows are unmatched: 'DL' (model 'dl')",)


def test_a_model_for_unmatched_rows_needs_no_route(fleet: Stage, plan: Step) -> None:
    fleet.set_fleet(unmatched="model:rest")
    fleet.register("rest", spec=any_model_spec("rest"), fleet="delays")
    plan(plan_event({}))
    spec = fleet.spec(job_id=JOB)
    assert spec.fleet is not None
    assert (spec.fleet.fallback, spec.fleet.routes) == ("rest", {"AA": "aa", "UA": "ua"})


def test_routes_may_be_in_all_keys_and_not_in_some(fleet: Stage, plan: Step) -> None:
    columns = FLIGHTS.drop_columns("carrier")
    for carrier in ("UA", "AA"):
        fleet.upload_table(columns, "by-carrier", f"carrier={carrier}/a.parquet")
    plan(plan_event({"dataset": "by-carrier"}))
    spec = fleet.spec(job_id=JOB)
    assert spec.fleet is not None
    assert spec.fleet.in_key
    assert spec.committing_models[0].partition_columns == ("carrier",)
    fleet.upload_table(FLIGHTS, "by-carrier", "b.parquet")
    with pytest.raises(InvalidRequestError, match=r"1 of 3 keys without 'carrier=…/': b\.parquet"):
        plan(plan_event({"dataset": "by-carrier"}, execution_id="e-2"))


def test_a_column_that_no_object_has_is_refused(fleet: Stage, plan: Step) -> None:
    fleet.set_fleet(route_by="airline")
    assert "fleet 'delays' on dataset 'flights': features: got 'a.parquet without airline (string)'" in _refusal(
        plan, {}
    )


def test_a_column_of_another_type_than_the_routes_is_refused_with_what_to_do(fleet: Stage, plan: Step) -> None:
    fleet.upload_table(FLIGHTS.set_column(2, "carrier", pa.array([7])))
    reason = _refusal(plan, {})
    assert "features: got 'a.parquet where carrier is int64, not string'" in reason
    assert "correct the column or type of the routes with `fleetscore fleets set delays --route-by …`" in reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key_columns": ("id",)}, "model 'ua': key_columns: got ['id'], expected [] as for model 'aa'"),
        ({"output_columns": ("late",)}, "model 'ua': output_columns: got ['late'], expected []"),
        ({"output_format": "csv"}, "model 'ua': output_format: got 'csv', expected 'parquet'"),
        ({"method": "margin"}, "model 'ua': method: got 'margin', expected 'predict'"),
        (
            {"features": (Feature("distance", "double"), Feature("hour", "int64"))},
            "model 'ua': features: got ['hour:int64'], expected ['hour:int32:required'] as for model 'aa'",
        ),
        (
            {"input": InputOptions(csv_delimiter=";")},
            "model 'ua': input.csv_delimiter: got ';', expected ',' as for model 'aa'",
        ),
        ({"tolerated_quarantine_fraction": 0.5}, "tolerated_quarantine_fraction: got 0.5, expected 0.1"),
    ],
)
def test_models_that_disagree_are_refused_by_name(
    fleet: Stage, plan: Step, changes: dict[str, Any], words: str
) -> None:
    _member(fleet, "ua", **changes)
    assert words in _refusal(plan, {})


def test_models_that_disagree_in_the_same_way_are_counted(fleet: Stage, plan: Step) -> None:
    for number in range(5):
        _member(fleet, f"b{number}", output_format="csv")
    assert "model 'b0' and 4 more: output_format: got 'csv'" in _refusal(plan, {})


def test_models_of_different_images_are_refused(stage: Stage, plan: Step) -> None:
    stage.set_fleet()
    _member(stage, "aa")
    stage.register("ua", spec=of_framework("pytorch", "ua"), fleet="delays", route=["UA"])
    stage.upload_table(FLIGHTS)
    assert "model 'ua': image: got 'pytorch', expected 'core' as for model 'aa'" in _refusal(plan, {})


def test_routes_of_two_models_and_of_none_are_refused(fleet: Stage, plan: Step) -> None:
    _member(fleet, "ua2", ["UA", "UX"])
    fleet.register("rest", spec=any_model_spec("rest"), fleet="delays")
    reason = _refusal(plan, {})
    assert "model 'ua2': route: got 'UA', expected a route of one model; model 'ua' of fleet 'delays' has it" in reason
    assert "model 'rest': route: got [], expected at least one value of 'carrier'" in reason


def test_routes_of_whole_numbers_have_one_form(fleet: Stage, plan: Step) -> None:
    fleet.set_fleet(route_by="hour", route_type="int64")
    for model_id, route in (("ua", "7"), ("aa", "08")):
        _member(fleet, model_id, [route])
    reason = _refusal(plan, {})
    assert "model 'aa': route: got ['08'], expected whole numbers in decimal digits" in reason
    assert "'7'" not in reason


def test_the_type_of_routes_is_that_of_the_feature(fleet: Stage, plan: Step) -> None:
    fleet.set_fleet(route_by="hour")
    assert "fleet 'delays': route_type: got 'string', expected 'int32' or a similar type" in _refusal(plan, {})


@pytest.mark.parametrize(
    ("unmatched", "enabled"), [("model:nobody", True), ("model:alone", True), ("model:rest", False)]
)
def test_the_model_for_unmatched_rows_is_an_enabled_one_of_the_fleet(
    fleet: Stage, plan: Step, unmatched: str, enabled: bool
) -> None:
    fleet.set_fleet(unmatched=unmatched)
    fleet.register("alone")
    fleet.register("rest", spec=any_model_spec("rest"), fleet="delays", enabled=enabled)
    assert "fleet 'delays': unmatched: got " in _refusal(plan, {})


def test_a_fleet_with_a_similar_id_is_suggested(fleet: Stage, plan: Step) -> None:
    message = "fleets[0]: got 'delay', expected the id of a fleet. Did you mean 'delays'?"
    assert message in _refusal(plan, {"fleets": ["delay"]})


def test_unknown_and_empty_fleets_are_refused(fleet: Stage, plan: Step) -> None:
    fleet.set_fleet("empty")
    reason = _refusal(plan, {"fleets": ["empty", "unknown"]})
    assert "fleet 'empty': got 'no enabled models', expected at least one" in reason
    assert "fleets[1]: got 'unknown', expected the id of a fleet. List all with `fleetscore fleets list`." in reason
    fleet.register("lost", fleet="gone", route=["XX"])
    with pytest.raises(InvalidRequestError, match="model 'lost': fleet: got 'gone', expected the id of a fleet"):
        plan(plan_event({}, execution_id="e-2"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output_columns": ("model_version",)}, "output_columns: got ['model_version'], expected no model_id or"),
        ({"row_number_column": "model_version"}, "row_number_column: got ['model_version']"),
        ({"output_columns": ("carrier",)}, "fleet 'delays': output_columns: got ['carrier']"),
    ],
)
def test_columns_that_the_output_adds_must_not_clash(
    stage: Stage, plan: Step, changes: dict[str, Any], words: str
) -> None:
    stage.set_fleet()
    _member(stage, "ua", **changes)
    stage.upload_table(FLIGHTS)
    assert words in _refusal(plan, {})


@pytest.mark.parametrize("name", ["model_version", "Model_Version"])
def test_routes_and_folders_named_like_an_added_column_are_refused(fleet: Stage, plan: Step, name: str) -> None:
    """Readers of the output would take the folder for the version of the model."""
    fleet.upload_table(FLIGHTS, "folders", f"{name}=UA/a.parquet")
    assert "no folders named dataset=…, execution_id=…, job_id=…, model_id=…, model_version=…" in _refusal(
        plan, {"dataset": "folders"}
    )
    fleet.set_fleet(route_by=name)
    with pytest.raises(InvalidRequestError, match=f"fleet 'delays': route_by: got '{name}', expected another name"):
        plan(plan_event({"dataset": "folders"}, execution_id="e-2"))


def test_input_columns_named_like_those_that_the_output_adds_are_refused(fleet: Stage, plan: Step) -> None:
    fleet.upload_table(FLIGHTS.append_column("model_version", pa.array(["1"])))
    reason = _refusal(plan, {})
    assert "fleet 'delays' on dataset 'flights': columns: got 'a.parquet with model_version'" in reason


def test_csv_without_a_header_needs_the_names_of_all_columns(stage: Stage, plan: Step) -> None:
    stage.set_fleet()
    options = InputOptions(format="csv", csv_header=False)
    _member(stage, "ua", input=options)
    stage.upload(keys=["a.csv"])
    assert "model 'ua': input.csv_columns: got [], expected all columns of the CSV objects" in _refusal(plan, {})
    _member(stage, "ua", input=replace(options, csv_columns=("distance", "hour")))
    with pytest.raises(InvalidRequestError, match=r"input\.csv_columns: got \['distance', 'hour'\].*carrier"):
        plan(plan_event({}, execution_id="e-2"))


@pytest.mark.parametrize("columns", [(), ("distance", "hour")])
def test_csv_without_a_header_may_have_its_routes_in_the_keys(
    stage: Stage, plan: Step, columns: tuple[str, ...]
) -> None:
    stage.set_fleet()
    stage.s3.put_object(Bucket=stage.datasets, Key="flights/carrier=UA/a.csv", Body=b"1.5,7\n")
    options = InputOptions(format="csv", csv_header=False, csv_columns=columns)
    _member(stage, "ua", input=options)
    assert "If the keys have the route, name it in partition_columns instead." in _refusal(plan, {})
    _member(stage, "ua", input=options, partition_columns=("carrier",))
    plan(plan_event({}, execution_id="e-2"))
    fleet = stage.spec("e-2", JOB).fleet
    assert fleet is not None
    assert fleet.in_key


def test_missing_artifacts_of_single_models_are_found(fleet: Stage, plan: Step) -> None:
    fleet.s3.delete_object(Bucket=fleet.models, Key="ua/1/model.tar.gz")
    assert "model 'ua' version '1': artifact: got 'no object'" in _refusal(plan, {})


def test_a_skewed_dataset_is_split_into_parts(fleet: Stage, plan: Step) -> None:
    fleet.upload(keys=[f"{number}.parquet" for number in range(8)], size=100)
    fleet.upload(keys=["large.parquet"], size=10_000)
    plan(plan_event({"instance_count": 2}))
    jobs = fleet.deployment.table.jobs("e-1")
    assert [job.job_id for job in jobs] == [f"{JOB}.part-1-of-2", f"{JOB}.part-2-of-2"]
    assert {job.fleet for job in jobs} == {"delays"}


def _upload_manifest(stage: Stage, dataset: str, *keys: str) -> str:
    heads = {key: stage.s3.head_object(Bucket=stage.datasets, Key=f"{dataset}/{key}") for key in keys}
    objects = [ObjectVersion(key, "", head["ETag"].strip('"'), head["ContentLength"]) for key, head in heads.items()]
    name = f"uploads/{dataset}/x.json"
    body = codec.dumps(UploadManifest(dataset, "window", tuple(objects))).encode()
    stage.s3.put_object(Bucket=stage.results, Key=name, Body=body)
    return name


def test_uploads_are_scored_by_the_fleets_of_their_dataset(fleet: Stage, plan: Step) -> None:
    fleet.upload_table(FLIGHTS, key="new.parquet")
    fleet.set_fleet("others", dataset="trains")
    # A fleet of another dataset that a plan would refuse does not refuse the uploads of this one.
    for model_id in ("a", "b"):
        fleet.register(model_id, fleet="others", route=["same"])
    manifest = _upload_manifest(fleet, "flights", "new.parquet")
    plan(plan_event({"objects_manifest": manifest}))
    assert _jobs(fleet) == [JOB]
    assert [item.key for item in fleet.objects(job_id=JOB)] == ["new.parquet"]
    fleet.upload_table(FLIGHTS, "buses", "new.parquet")
    elsewhere = {"objects_manifest": _upload_manifest(fleet, "buses", "new.parquet")}
    with pytest.raises(InvalidRequestError, match="expected at least one chosen model or fleet whose own dataset is"):
        plan(plan_event(elsewhere, execution_id="e-2"))
    # A fleet that the request names scores uploads to any dataset.
    plan(plan_event({**elsewhere, "fleets": ["delays"]}, execution_id="e-3"))
    assert fleet.job(JOB, "e-3").dataset == "buses"


def test_a_check_does_not_miss_models_that_the_training_makes(stage: Stage) -> None:
    stage.set_fleet(unmatched="model:rest")
    fields = {"fleet": "delays", "features": (Feature("distance", "double"),), "training_dataset": "learn"}
    for model_id in ("ua", "rest"):
        put_recipe(stage, any_recipe(model_id, route=("UA",) if model_id == "ua" else (), **fields))
    stage.upload_table(pa.table({"distance": [1.0], "late": [1]}), "learn")
    check = _check({"fleets": ["delays"], "train": {}})
    assert [problem for problem in check.problems if "fleet" in problem] == []
    assert any("rest, ua" in note for note in check.notes)


def test_only_the_models_that_keys_need_are_downloaded(fleet: Stage, plan: Step, record: Step) -> None:
    for model_id in ("b6", "dl"):
        _member(fleet, model_id)
    for carrier in ("DL", "XX"):
        fleet.upload_table(FLIGHTS.drop_columns("carrier"), "by-carrier", f"carrier={carrier}/a.parquet")
    plan(plan_event({"dataset": "by-carrier"}))
    record(pointer_event(JOB))
    # The first model tells the columns of the predictions.
    assert fleet.read_json(models_manifest_key("e-1", JOB))[1:] == ["aa/1/model.tar.gz", "dl/1/model.tar.gz"]
    assert len(fleet.spec(job_id=JOB).models) == 4
