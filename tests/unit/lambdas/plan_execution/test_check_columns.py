"""The plan checks the columns that every model needs before it forms jobs."""

import os
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from contract.catalog.model_fields import Feature
from contract.catalog.models import ModelVersion
from lambdas.dataset.parquet_footer import Column
from lambdas.errors import InvalidRequestError
from lambdas.planning.model_checks import check_columns
from tests.unit.lambdas.builders import Stage, any_model_spec, plan_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
READER = "model 'delays-ua' version '1' on dataset 'flights'"
GOOD = pa.table({"distance": pa.array([1.0]), "hour": pa.array([1], pa.int32()), "more": ["x"]})


def problems_of(*columns: Column, **changes: Any) -> list[str]:
    version = ModelVersion(spec=any_model_spec(**changes), dataset="flights")
    return [
        str(problem)
        for problem in check_columns(
            version, "model 'delays-ua' version '1' on dataset 'flights'", "a.parquet", columns
        )
    ]


def test_suitable_columns_are_accepted() -> None:
    assert problems_of(Column("hour", "int16"), Column("distance", "int64"), Column("x", None)) == []


def test_types_whose_values_may_fit_are_accepted() -> None:
    assert problems_of(Column("hour", "double"), Column("distance", "decimal")) == []
    assert problems_of(Column("hour", "int64"), Column("distance", "list<double>")) != []


def test_columns_of_unknown_type_are_accepted() -> None:
    assert problems_of(Column("hour", None), Column("distance", None)) == []


def test_missing_columns_are_named_with_names_that_differ_in_case() -> None:
    [problem] = problems_of(Column("Distance", "double"), key_columns=("id", "hour"))
    assert "'a.parquet without distance (double), hour (int32), id (key column)'" in problem
    assert "Column names are case-sensitive; the object has Distance for distance." in problem


def test_missing_columns_that_the_key_has_are_named() -> None:
    version = ModelVersion(spec=any_model_spec(), dataset="flights")
    [problem] = check_columns(
        version,
        "model 'delays-ua' version '1' on dataset 'flights'",
        "year=2013/hour=7/a.parquet",
        [Column("distance", "double")],
    )
    assert "The key has hour, so add them to partition_columns (--partition-columns)." in str(problem)


def test_a_header_of_one_cell_points_at_the_delimiter() -> None:
    [problem] = problems_of(Column("distance;hour", None))
    assert "so set input.csv_delimiter if another character separates the columns." in problem


def test_each_unsuitable_type_is_named() -> None:
    [problem] = problems_of(Column("distance", "string"), Column("hour", "date32[day]"))
    assert "a.parquet where distance is string, not double, hour is date32[day], not int32 without nulls" in problem


def test_a_column_of_nulls_suits_only_nullable_features() -> None:
    assert problems_of(Column("distance", "null"), Column("hour", "int32")) == []
    [problem] = problems_of(Column("distance", "double"), Column("hour", "null"))
    assert "hour is null, not int32 without nulls" in problem


def test_missing_columns_are_reported_for_every_model(stage: Stage, plan: Step) -> None:
    stage.register("delays-aa")
    stage.register("delays-ua")
    stage.register("delays-dl", dataset="other")
    stage.upload_table(GOOD.drop_columns("hour"))
    stage.upload_table(GOOD.set_column(0, "distance", pa.array(["far"])), dataset="other")
    with pytest.raises(InvalidRequestError) as refusal:
        plan(plan_event({}))
    reason = str(refusal.value)
    assert reason.startswith("The request was refused with 3 problems:")
    for model_id in ("delays-aa", "delays-ua"):
        assert f"model '{model_id}' version '1' on dataset 'flights': features: got 'a.parquet without hour" in reason
    assert "model 'delays-dl' version '1' on dataset 'other': features: got 'a.parquet where distance is" in reason
    assert stage.result_keys() == []
    assert stage.deployment.table.jobs("e-1") == []


def test_a_dataset_with_the_columns_is_planned(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload_table(GOOD)
    assert plan(plan_event({}))["job_count"] == 1


def test_columns_of_the_requests_dataset_are_checked(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload_table(GOOD)
    stage.upload_table(GOOD.drop_columns("hour"), dataset="wrong")
    with pytest.raises(InvalidRequestError, match="on dataset 'wrong'"):
        plan(plan_event({"dataset": "wrong"}))


def test_a_damaged_object_does_not_refuse_the_plan(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload(keys=["a.parquet"])
    stage.upload_table(GOOD.drop_columns("hour"), key="b.parquet")
    assert plan(plan_event({}))["job_count"] == 1


def test_an_object_replaced_after_the_listing_does_not_refuse_the_plan(stage: Stage, plan: Step) -> None:
    stage.register()
    stage.upload_table(GOOD)
    listing = stage.deployment.store.dataset_objects

    def list_then_replace(dataset: str) -> Any:
        found = listing(dataset)
        stage.upload_table(GOOD.drop_columns("hour"))
        return found

    stage.deployment.store.dataset_objects = list_then_replace  # type: ignore[method-assign]
    assert plan(plan_event({}))["job_count"] == 1


def test_one_footer_is_read_per_dataset(stage: Stage, plan: Step) -> None:
    for number in range(10):
        stage.register(f"m-{number}")
    wide = pa.table({**{name: GOOD[name] for name in GOOD.column_names}, "noise": [os.urandom(200_000)]})
    stage.upload_table(wide)
    stage.upload_table(GOOD, key="b.parquet")
    read: list[tuple[str, str]] = []
    stage.deployment.store._s3.meta.events.register(
        "provide-client-params.s3.GetObject", lambda params, **_: read.append((params["Key"], params["Range"]))
    )
    assert plan(plan_event({}))["job_count"] == 10
    [(key, ranged)] = read
    assert key == "flights/a.parquet"
    first, last = map(int, ranged.removeprefix("bytes=").split("-"))
    assert last - first + 1 == 65_536


def test_a_missing_feature_that_is_a_key_column_is_named_once() -> None:
    features = (Feature("hour", "int32"),)
    [problem] = problems_of(Column("distance", "double"), features=features, key_columns=("hour",))
    assert "without hour (int32)'" in problem
