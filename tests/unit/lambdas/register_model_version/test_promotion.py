from typing import Any

import pytest

from contract.catalog.models import REASON_CHARACTERS, CurrentChange, Model, ModelVersion
from contract.job.scoring_spec import PinnedObject
from contract.status import VersionState
from contract.training.recipes import Promotion
from contract.training.training_spec import TrainingSpec
from lambdas.register_model_version.decisions import check_artifact, decide, outcome
from tests.unit.lambdas.builders import any_model_spec
from tests.unit.lambdas.training_builders import MODEL_FILE, any_recipe, any_report

SPEC: TrainingSpec = any_recipe().training_spec("t-1", "delays-ua", "v2", (PinnedObject("a", 1, "e"),), ())
RMSE: TrainingSpec = any_recipe(task="regression").training_spec("t-1", "delays-ua", "v2", SPEC.objects, ())

MODEL = Model("delays-ua", "1")


def current(**metrics: float) -> ModelVersion:
    return ModelVersion(spec=any_model_spec(), dataset="flights", metrics=metrics)


PROMOTED, REJECTED, PENDING = VersionState.PROMOTED, VersionState.REJECTED, VersionState.PENDING_APPROVAL
CASES: dict[str, tuple[Promotion, Any, ModelVersion | None, VersionState, str]] = {
    "first, over the floor": (
        Promotion(floor=0.7), 0.81, None, PROMOTED, "auc 0.81 >= floor 0.7 and no version before",
    ),
    "first, under the floor": (
        Promotion(floor=0.9), 0.81, None, REJECTED, "auc 0.81 < floor 0.9 and no version before",
    ),
    "first, no floor": (Promotion(), 0.81, None, PROMOTED, "auc 0.81, no floor and no version before"),
    "as good as the current one": (
        Promotion(floor=0.7), 0.8, current(auc=0.8), PROMOTED,
        "auc 0.8 >= floor 0.7 and 0.8 >= current 0.8 + 0 (version 1)",
    ),
    "not enough better": (
        Promotion(min_improvement=0.02), 0.81, current(auc=0.8), REJECTED,
        "auc 0.81, no floor and 0.81 < current 0.8 + 0.02 (version 1)",
    ),
    "a little worse is allowed": (
        Promotion(min_improvement=-0.05), 0.78, current(auc=0.8), PROMOTED,
        "auc 0.78, no floor and 0.78 >= current 0.8 + -0.05 (version 1)",
    ),
    "the current one has another metric: the floor decides": (
        Promotion(floor=0.7), 0.81, current(rmse=1.0), PROMOTED,
        "auc 0.81 >= floor 0.7 and current version 1 has no auc",
    ),
    "nothing to decide by": (
        Promotion(), 0.81, current(), PENDING,
        "waits for approval, because no rule can decide: auc 0.81, no floor and current version 1 has no auc",
    ),
    "no metric": (
        Promotion(floor=0.7), None, current(auc=0.8), PENDING,
        "waits for approval, because no rule can decide: the training measured no auc and current version 1 has 0.8",
    ),
    "by approval": (
        Promotion("approval", floor=0.9), 0.81, current(auc=0.8), PENDING,
        "waits for approval: auc 0.81 < floor 0.9 and 0.81 >= current 0.8 + 0 (version 1)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_promotion_decision_and_its_reason(case: str) -> None:
    promotion, auc, before, state, reason = CASES[case]
    decided = decide(promotion, any_report(SPEC, auc), None if before is None else MODEL, before)
    assert (decided.state, decided.reason) == (state, reason)


@pytest.mark.parametrize(
    ("auc", "state", "reason"),
    [
        (0.9, PENDING, "waits for approval, because the model was set back to version 1 (bad in production) "),
        (0.7, REJECTED, "auc 0.7, no floor and 0.7 < current 0.8 + 0 (version 1)"),
    ],
)
def test_a_version_that_the_rule_would_promote_waits_after_a_rollback(
    auc: float, state: VersionState, reason: str
) -> None:
    set_back = Model("delays-ua", "2").set_back_by(CurrentChange("1", "2026-07-01", "me", "bad in production"))
    decided = decide(Promotion(), any_report(SPEC, auc), set_back, current(auc=0.8))
    assert decided.state is state
    assert decided.reason.startswith(reason)
    command = ". To make it current: `fleetscore models approve delays-ua 3`"
    assert outcome("delays-ua", "3", decided).endswith(command) == (state is PENDING)


def test_the_longest_reason_of_a_rollback_fits_into_the_decision() -> None:
    set_back = Model("delays-ua", "2").set_back_by(CurrentChange("1", "2026-07-01", "me", "x" * REASON_CHARACTERS))
    decided = decide(Promotion(floor=0.7), any_report(SPEC, 0.9), set_back, current(auc=0.8))
    assert len(decided.reason) <= REASON_CHARACTERS


@pytest.mark.parametrize(("rmse", "state"), [(3.0, PROMOTED), (3.3, REJECTED), (4.5, REJECTED)])
def test_the_floor_is_an_upper_limit_when_less_is_better(rmse: float, state: VersionState) -> None:
    decided = decide(Promotion(floor=4.0), any_report(RMSE, rmse), MODEL, current(rmse=3.2))
    assert decided.state is state
    assert ("<= floor 4" in decided.reason) == (rmse <= 4)


def test_an_artifact_is_compared_with_its_spec() -> None:
    good = any_report(SPEC)
    files = {SPEC.model_file: len(MODEL_FILE), "fleetscore.json": 10}
    assert check_artifact(SPEC, good, files) == []
    wrong = any_report(SPEC, version="v1", method="margin", features=SPEC.features[:1], model_bytes=3)
    found = "; ".join(check_artifact(SPEC, wrong, files))
    for words in ("version is 'v1', expected 'v2'", "method is 'margin'", "distance:double", "has 7 bytes"):
        assert words in found
    assert "does not contain the file 'model.json'" in "; ".join(check_artifact(SPEC, good, {"fleetscore.json": 10}))
