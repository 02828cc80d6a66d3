"""Models of a joined output share a job, and the plan refuses those that cannot."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from lambdas.errors import InvalidRequestError
from tests.unit.lambdas.builders import Stage, any_model_spec, plan_event

Step = Callable[[dict[str, Any]], dict[str, Any]]
JOINED = {"output_layout": "joined"}


def _register(stage: Stage, model_id: str, **changes: Any) -> None:
    stage.register(model_id, spec=any_model_spec(model_id, **changes))


def _jobs(stage: Stage) -> list[tuple[str, ...]]:
    return sorted(job.model_ids for job in stage.deployment.table.jobs("e-1"))


def test_all_models_that_can_share_a_job_do(stage: Stage, plan: Step) -> None:
    for number in range(101):
        _register(stage, f"m{number:03}")
    stage.register("z", max_attempts=1)
    stage.upload()
    plan(plan_event(JOINED))
    first = tuple(f"m{number:03}" for number in range(100))
    assert _jobs(stage) == [first, ("m100",), ("z",)]
    assert {job.output_layout for job in stage.deployment.table.jobs("e-1")} == {"joined"}


def test_models_per_job_limits_joined_outputs_too(stage: Stage, plan: Step) -> None:
    for model_id in "abc":
        _register(stage, model_id)
    stage.upload()
    plan(plan_event({**JOINED, "models_per_job": 2}))
    assert _jobs(stage) == [("a", "b"), ("c",)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output_format": "csv"}, "model 'b': output_format: got 'csv', expected parquet as for model 'a'"),
        ({"key_columns": ("id",)}, "model 'b': key_columns: got ['id'], expected [] as for model 'a'"),
        ({"columns": "keys", "key_columns": ("hour",)}, "model 'b': columns: got 'keys', expected all as for"),
        ({"row_number_column": "row"}, "model 'b': row_number_column: got 'row', expected "),
    ],
)
def test_models_that_disagree_are_refused_by_name(
    stage: Stage, plan: Step, changes: dict[str, Any], words: str
) -> None:
    _register(stage, "a")
    _register(stage, "b", **changes)
    stage.upload_table(pa.table({"distance": [1.0], "hour": pa.array([1], pa.int32()), "id": [1]}))
    with pytest.raises(InvalidRequestError) as refusal:
        plan(plan_event(JOINED))
    assert words in str(refusal.value)


def test_prediction_columns_with_one_name_are_refused_by_name(stage: Stage, plan: Step) -> None:
    _register(stage, "a", output_columns=("b_x", "y"), method="margin")
    _register(stage, "a_b", output_columns=("x", "y"), method="margin")
    stage.upload()
    with pytest.raises(InvalidRequestError, match=r"output_columns: got \"'a_b_x' of 'a', 'a_b'\""):
        plan(plan_event(JOINED))


@pytest.mark.parametrize("model_id", ["distance", "more", "dataset"])
def test_prediction_columns_named_like_other_columns_are_refused(stage: Stage, plan: Step, model_id: str) -> None:
    _register(stage, model_id)
    table = {"distance": [1.0], "hour": pa.array([1], pa.int32()), "more": [1], "prediction": [1.0]}
    stage.upload_table(pa.table(table))
    with pytest.raises(InvalidRequestError, match=rf"got \['{model_id}'\].*output_layout is 'joined'"):
        plan(plan_event(JOINED))


@pytest.mark.parametrize("folder", ["carrier", "Carrier"])
def test_prediction_columns_named_like_folders_of_the_dataset_are_refused(
    stage: Stage, plan: Step, folder: str
) -> None:
    for model_id in ("carrier", "other"):
        _register(stage, model_id)
    stage.upload(keys=["a.parquet", f"{folder}=UA/b.parquet"])
    expected = (
        r"model 'carrier' version '1' on dataset 'flights': prediction columns: got \['carrier'\], expected other"
    )
    with pytest.raises(InvalidRequestError, match=expected):
        plan(plan_event(JOINED))
    plan(plan_event({}, execution_id="e-2"))
