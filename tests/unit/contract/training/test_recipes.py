from dataclasses import replace
from typing import Any

import pytest

from contract import codec
from contract.catalog.models import Compute
from contract.codec import decode_fields
from contract.dataset.input_options import InputOptions
from contract.job.scoring_spec import PinnedObject
from contract.problems import InvalidInputError
from contract.table import catalog_items, records
from contract.training.recipes import ModelRecipe, Promotion, TrainingCode, TrainingCompute
from contract.workflow.training_request import TrainingRequest, parse_training_request

RECIPE: dict[str, Any] = {
    "model_id": "churn",
    "trainer": "xgboost",
    "task": "binary",
    "training_dataset": "customers-labelled",
    "dataset": "customers",
    "label": "left",
    "features": [{"name": "age", "type": "double"}],
    "format": "xgboost-ubj",
    "method": "predict",
}


CODE = {"program": "a.py", "sha256": "0" * 64, "bytes": 1}


def read(**changes: Any) -> ModelRecipe:
    recipe, problems = decode_fields(ModelRecipe, {**RECIPE, **changes})
    if recipe is None:
        raise InvalidInputError("recipe", problems)
    return recipe


def test_recipe_survives_the_table_and_json() -> None:
    recipe = read(promotion={"floor": 0.7}, compute={"spot": True}, hyperparameters={"max_depth": "3"})
    assert records.read_item(ModelRecipe, catalog_items.recipe_item(recipe)) == recipe
    assert codec.from_json(ModelRecipe, codec.to_json(recipe)) == recipe


def test_recipe_has_defaults_for_metric_file_and_promotion() -> None:
    recipe = read()
    assert (recipe.effective_metric, recipe.saved_as) == ("auc", "model.ubj")
    assert recipe.promotion == Promotion("rule", None, 0.0)
    assert read(task="regression").effective_metric == "rmse"
    sklearn = read(trainer="sklearn", estimator="ridge", task="regression", format="sklearn-joblib")
    assert sklearn.saved_as == "model.joblib"


@pytest.mark.parametrize(
    ("format_", "file"),
    [
        ("pytorch-export", "model.pt2"),
        ("torchscript", "model.pt"),
        ("keras", "model.keras"),
        ("tensorflow-savedmodel", "1/saved_model.pb"),
        ("sklearn-skops", "model.skops"),
        ("xgboost-json", "model.json"),
    ],
)
def test_script_recipe_uses_the_file_name_that_the_library_needs(format_: str, file: str) -> None:
    code = {"program": "train.py", "sha256": "0" * 64, "bytes": 1}
    recipe = read(trainer="script", format=format_, code=code)
    assert recipe.saved_as == recipe.candidate.spec.model_file == file
    assert read(trainer="script", format=format_, code=code, model_file="own").saved_as == "own"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "the label among the features": ({"label": "age"}, "label"),
    "a metric of another task": ({"metric": "rmse"}, "metric"),
    "a format that the trainer cannot write": ({"format": "sklearn-joblib"}, "format"),
    "an unknown hyperparameter": ({"hyperparameters": {"depth": "3"}}, "hyperparameters.depth"),
    "an ill-formed training dataset": ({"training_dataset": "A b"}, "training_dataset"),
    "an ill-formed dataset": ({"dataset": "A b"}, "dataset"),
    "a validation dataset that is the training dataset": (
        {"validation_dataset": "customers-labelled"},
        "validation_dataset",
    ),
    "keys without key columns": ({"columns": "keys"}, "key_columns"),
    "code without a script": ({"code": CODE}, "code"),
    "a script without code": ({"trainer": "script"}, "code"),
    "a format that needs custom code": ({"trainer": "script", "format": "custom", "code": CODE}, "format"),
    "zero attempts": ({"max_attempts": 0}, "max_attempts"),
    "zero scoring attempts": ({"scoring_max_attempts": 0}, "max_attempts"),
    "a wait without spot": ({"compute": {"max_wait_seconds": 60}}, "compute.max_wait_seconds"),
    "a wait that is shorter than the run": (
        {"compute": {"spot": True, "max_runtime_seconds": 600, "max_wait_seconds": 60}},
        "compute.max_wait_seconds",
    ),
    "a floor that is not a number": ({"promotion": {"floor": float("nan")}}, "promotion.floor"),
    "a number for missing values of another library": (
        {"trainer": "sklearn", "estimator": "ridge", "task": "regression", "format": "sklearn-joblib", "missing": -1},
        "missing",
    ),
    "a script that trains with another number for missing values": (
        {"trainer": "script", "code": CODE, "hyperparameters": {"missing": "-999"}},
        "missing",
    ),
    "promotion by chance": ({"promotion": {"mode": "chance"}}, "promotion.mode"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_recipe_that_cannot_be_trained_is_refused(case: str) -> None:
    changes, field = REFUSED[case]
    with pytest.raises(InvalidInputError) as raised:
        read(**changes)
    assert field in {problem.field for problem in raised.value.problems}


def test_number_for_missing_values_reaches_training_and_version() -> None:
    recipe = read(missing=-999)
    assert recipe.candidate.spec.missing == -999.0
    assert recipe.training_spec("e", "j", "1", (PinnedObject("a", 1, "e"),), ()).missing == -999.0
    read(trainer="script", code=CODE, missing=-999, hyperparameters={"missing": "-999.0"})
    read(trainer="script", code=CODE, hyperparameters={"missing": "nan"})


def test_all_problems_of_a_recipe_are_reported_at_once() -> None:
    with pytest.raises(InvalidInputError) as raised:
        read(label="age", metric="rmse", max_attempts=11, validation_dataset="A b")
    assert {"label", "metric", "max_attempts", "validation_dataset"} <= {p.field for p in raised.value.problems}


def test_spot_job_waits_as_configured_or_for_twice_its_run_time() -> None:
    assert TrainingCompute().wait_seconds(600) is None
    assert TrainingCompute(spot=True).wait_seconds(600) == 1_200
    assert TrainingCompute(spot=True, max_wait_seconds=900).wait_seconds(600) == 900
    # The stage's run time may exceed the recipe's wait, and SageMaker refuses a wait that is
    # shorter than the run.
    assert TrainingCompute(spot=True, max_wait_seconds=300).wait_seconds(600) == 600
    assert TrainingCompute(spot=True).wait_seconds(28 * 86_400) == 28 * 86_400


def test_training_always_runs_on_one_instance() -> None:
    stage = Compute("ml.m5.xlarge", 4, 30, 3_600)
    expected = Compute("ml.m5.xlarge", 1, 99, 3_600, spot=False)
    assert TrainingCompute(volume_size_gb=99).with_fallback(stage) == expected


def test_the_stages_spot_setting_is_about_scoring_only() -> None:
    stage = Compute("ml.m5.xlarge", 4, 30, 3_600, spot=True, max_wait_seconds=9_000)
    assert not TrainingCompute().with_fallback(stage).uses_spot
    assert TrainingCompute(spot=True).with_fallback(replace(stage, spot=False)).uses_spot


def test_training_code_with_an_invalid_digest_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="sha256"):
        TrainingCode("train.py", "ABC", 10)


def test_all_problems_of_a_training_request_are_reported_at_once() -> None:
    assert parse_training_request({}) == TrainingRequest()
    assert parse_training_request({"models": ["churn"], "max_concurrency": 3}) == TrainingRequest(
        models=("churn",), max_concurrency=3
    )
    with pytest.raises(InvalidInputError) as raised:
        parse_training_request({"models": ["a", "a"], "max_concurrency": 0, "dataset": "x"})
    assert {problem.field for problem in raised.value.problems} == {"models", "max_concurrency", "dataset"}
    with pytest.raises(InvalidInputError, match="JSON object"):
        parse_training_request(["churn"])


def test_versions_take_their_scoring_fields_from_the_recipe() -> None:
    said: dict[str, Any] = {
        "output_format": "jsonl",
        "row_number_column": "row",
        "tolerated_quarantine_fraction": 0.01,
        "input": {"csv_delimiter": ";"},
        "accelerator": "daal4py",
    }
    spec = read(**said).candidate.spec
    assert {name: codec.to_json(spec)[name] for name in said if name != "input"} == {
        name: value for name, value in said.items() if name != "input"
    }
    assert spec.input == InputOptions(csv_delimiter=";")
    with pytest.raises(InvalidInputError, match="tolerated_quarantine_fraction"):
        read(tolerated_quarantine_fraction=2)


def test_versions_join_the_recipes_fleet() -> None:
    version = read(fleet="segments", route=["gold", "silver"]).candidate
    assert (version.fleet, version.route) == ("segments", ("gold", "silver"))
    with pytest.raises(
        InvalidInputError, match="route: got \\['gold'\\], expected no routes, because fleet is not set"
    ):
        read(route=["gold"])


@pytest.mark.parametrize(
    ("task", "metric", "promotion", "expected"),
    [
        ("binary", "", {"floor": 70}, "promotion.floor: got 70.0, expected at most 1, because auc is never above that"),
        ("binary", "", {"min_improvement": 2}, "promotion.min_improvement: got 2.0, expected at most 1"),
        ("binary", "logloss", {"floor": -0.1}, "expected at least 0, because logloss is never below that"),
        ("regression", "", {"floor": -1.0}, "expected at least 0, because rmse is never below that"),
        ("regression", "r2", {"floor": 1.5}, "expected at most 1, because r2 is never above that"),
    ],
)
def test_a_promotion_that_no_metric_can_reach_is_refused(
    task: Any, metric: str, promotion: dict[str, float], expected: str
) -> None:
    [problem] = read(task=task, metric=metric, promotion=promotion).promotion_problems()
    assert expected in str(problem)


def test_a_promotion_that_a_metric_can_just_reach_is_accepted() -> None:
    assert read(promotion={"floor": 1.0}).promotion_problems() == []
    assert read(task="regression", promotion={"floor": 0.0, "min_improvement": 50.0}).promotion_problems() == []
    assert read(task="regression", metric="r2", promotion={"floor": -3.0}).promotion_problems() == []
