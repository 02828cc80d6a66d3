"""Names in joined outputs, and the models that cannot share one."""

import pytest

from contract.job.joined import check_input_names, check_joined, joined_names, known_names
from tests.unit.lambdas.builders import any_model_spec


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["prediction"], ["m"]),
        (["anything"], ["m"]),
        (["prediction_0", "prediction_1"], ["m_0", "m_1"]),
        (["prediction", "prediction_1"], ["m_prediction", "m_1"]),
        (["score", "margin"], ["m_score", "m_margin"]),
    ],
)
def test_names_follow_from_the_model_and_its_columns(columns: list[str], names: list[str]) -> None:
    assert list(joined_names("m", columns)) == names


def test_names_by_labels_are_known_to_the_artifact_only() -> None:
    labelled = {"framework": "sklearn", "format": "sklearn-joblib", "model_file": "m.joblib", "method": "predict_proba"}
    assert known_names(any_model_spec("m", **labelled)) == ()
    assert known_names(any_model_spec("m", **labelled, output_columns=("no", "yes"))) == ("m_no", "m_yes")


def test_columns_of_one_model_may_collide_too() -> None:
    (problem,) = check_joined("j", [any_model_spec("m", output_columns=("prediction_a", "a"))])
    assert "'m_a' of 'm'" in str(problem)


def test_columns_of_the_objects_key_count_as_input_columns() -> None:
    spec = any_model_spec("day", partition_columns=("day",))
    (problem,) = check_input_names(spec, [], "model 'day'")
    assert "got ['day']" in str(problem)
    assert check_input_names(any_model_spec("other", partition_columns=("day",)), ["x"], "model") == []
