from dataclasses import replace

import pytest
from hypothesis import given

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import Compute, ModelVersion
from contract.job.ledger import Commit
from contract.job.scoring_spec import JobSpec, SnapshotRef
from contract.problems import InvalidInputError, Problem
from contract.table import catalog_items, records
from tests.unit.contract.strategies import computes, model_specs
from tests.unit.lambdas.builders import any_model_spec


@given(computes, computes, computes)
def test_compute_takes_each_field_from_the_first_that_sets_it(first: Compute, second: Compute, third: Compute) -> None:
    result = first.with_fallback(second).with_fallback(third)
    for field in vars(result).keys() - {"larger_instance_types"}:
        wishes = [getattr(compute, field) for compute in (first, second, third)]
        assert getattr(result, field) == next((wish for wish in wishes if wish is not None), None)


def test_larger_types_belong_to_the_instance_type_for_which_they_are_named() -> None:
    stage = Compute("ml.m5.xlarge", 1, 30, 60, ("ml.m5.2xlarge",), 100)
    assert Compute().with_fallback(stage).larger_instance_types == ("ml.m5.2xlarge",)
    assert Compute("ml.g5.xlarge").with_fallback(stage).larger_instance_types == ()
    own = Compute("ml.g5.xlarge", larger_instance_types=("ml.g5.2xlarge",))
    assert own.with_fallback(stage).larger_instance_types == ("ml.g5.2xlarge",)
    assert Compute(larger_instance_types=()).with_fallback(stage).larger_instance_types == ()


def test_the_longest_wait_on_spot_includes_the_run_and_is_twice_its_limit_by_default() -> None:
    stage = Compute("ml.m5.xlarge", 1, 30, 3_600, spot=False)
    assert not Compute().with_fallback(stage).uses_spot
    assert Compute(spot=True).with_fallback(stage).wait_seconds == 7_200
    assert Compute(spot=True, max_wait_seconds=4_000).with_fallback(stage).wait_seconds == 4_000
    # The wait is one record's and the run time another's.
    requested = Compute(spot=True).with_fallback(Compute(max_wait_seconds=60)).with_fallback(stage)
    assert requested.wait_seconds == 3_600
    # A request without spot overrides a model that has it, with its wait.
    assert Compute(spot=False).with_fallback(Compute(spot=True, max_wait_seconds=9_000)).max_wait_seconds is None
    with pytest.raises(InvalidInputError, match="max_wait_seconds: got 60, expected at least max_runtime_seconds"):
        Compute(max_runtime_seconds=61, spot=True, max_wait_seconds=60)
    # A limit of a model without spot is for requests that turn spot on.
    model = Compute(spot=False, max_wait_seconds=9_000)
    assert Compute(spot=True).with_fallback(model).wait_seconds == 9_000
    assert Compute().with_fallback(model).max_wait_seconds is None


def test_larger_types_are_types_named_once_and_not_the_first_one() -> None:
    with pytest.raises(InvalidInputError) as refused:
        Compute("ml.m5.xlarge", larger_instance_types=("m5.large", "ml.m5.xlarge", "ml.m5.xlarge"))
    assert [problem.field for problem in refused.value.problems] == [
        "larger_instance_types[0]",
        "larger_instance_types",
        "larger_instance_types",
    ]


def test_compute_beyond_sagemakers_limits_is_refused_with_all_fields() -> None:
    with pytest.raises(InvalidInputError) as refused:
        Compute("m5.large", 0, 16_385, 777_601)
    fields = [problem.field for problem in refused.value.problems]
    assert fields == ["instance_type", "instance_count", "volume_size_gb", "max_runtime_seconds"]


@given(model_specs())
def test_max_attempts_of_a_version_is_at_most_ten(spec: ModelSpec) -> None:
    with pytest.raises(InvalidInputError, match="max_attempts: got 11"):
        ModelVersion(spec=spec, dataset="flights", max_attempts=11)


def test_commit_with_rows_that_do_not_add_up_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"10 != 8 \+ 1"):
        Commit("m", "a", "e", 10, 8, 1, ())


def test_model_spec_reports_every_problem() -> None:
    with pytest.raises(InvalidInputError) as refused:
        ModelSpec(
            model_id="UPPER",
            version="",
            artifact_sha256="no digest",
            artifact_bytes=1,
            framework="sklearn",
            format="xgboost-json",
            model_file="../model.json",
            method="decision_function",
            features=(Feature("a", "double"), Feature("a", "double")),
            columns="keys",
        )
    fields = {problem.field for problem in refused.value.problems}
    assert fields == {
        "model_id",
        "version",
        "framework",
        "method",
        "features",
        "artifact_sha256",
        "model_file",
        "key_columns",
    }


def test_prediction_columns_named_like_input_columns_are_reported() -> None:
    spec = any_model_spec(key_columns=("id",), output_columns=("late", "hour", "distance"))
    (problem,) = spec.check_output_columns()
    assert str(problem) == (
        "output_columns: got ['hour', 'distance'], expected other names than those of the input columns of the output "
        "(columns 'all' keeps every one). Choose others, or set columns to 'keys'."
    )
    (problem,) = replace(spec, columns="keys", output_columns=("id",)).check_output_columns()
    assert str(problem) == (
        "output_columns: got ['id'], expected other names than those of the input columns of the output "
        "(columns 'keys' keeps the key columns). Choose others."
    )
    (problem,) = replace(spec, features=(Feature("prediction", "double"),), output_columns=()).check_output_columns()
    assert str(problem) == (
        "output_columns: got [], expected names, because the default, 'prediction', is one of the input columns of the "
        "output (columns 'all' keeps every one). Name every prediction column."
    )


def test_stored_record_with_clashing_column_names_can_still_be_read() -> None:
    spec = any_model_spec(output_columns=("hour",))
    version = ModelVersion(spec=spec, dataset="flights")
    assert records.read_item(ModelVersion, catalog_items.version_item(version)) == version
    with pytest.raises(InvalidInputError) as refused:
        replace(spec, method="predict_proba")
    assert [problem.field for problem in refused.value.problems] == ["method", "output_columns"]


@given(model_specs())
def test_job_spec_refuses_repeated_models(spec: ModelSpec) -> None:
    with pytest.raises(InvalidInputError, match="models"):
        JobSpec("e", "j", "flights", "bucket", (spec, spec), SnapshotRef("s3://b/k", "0" * 64, 1, 1))


def test_problem_text_has_four_parts_and_a_shortened_value() -> None:
    assert str(Problem("size", 3, "at least 4", "Ask for more.")) == "size: got 3, expected at least 4. Ask for more."
    assert len(str(Problem("size", "x" * 1_000, "less"))) < 160
