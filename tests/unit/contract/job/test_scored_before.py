"""The rule for what is scored already: every field that changes the output counts, and no other."""

from dataclasses import replace
from typing import Any

import pytest

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from contract.catalog.routes import SKIP
from contract.job.fleet import FleetSpec
from contract.job.ledger import Commit
from contract.job.scored_before import changed_fields, keeps_commit, output_digests

MODEL = ModelSpec(
    model_id="churn",
    version="1",
    artifact_sha256="a" * 64,
    artifact_bytes=10,
    framework="xgboost",
    format="xgboost-json",
    model_file="model.json",
    method="predict",
    features=(Feature("age", "double"),),
)
OTHER = replace(MODEL, model_id="upsell")
FLEET = FleetSpec("sales", "store", {"1": "churn", "2": "upsell"})


def changed(**changes: Any) -> bool:
    """Return whether a model with these changes gives another output."""
    other = replace(MODEL, **changes)
    is_other = output_digests([other], "per_model") != output_digests([MODEL], "per_model")
    assert is_other == bool(changed_fields(MODEL, other))
    return is_other


@pytest.mark.parametrize(
    "changes",
    [
        {"artifact_sha256": "b" * 64},
        {"method": "margin"},
        {"features": (Feature("age", "float"),)},
        {"key_columns": ("id",)},
        {"output_format": "csv"},
        {"row_number_column": "row"},
        {"missing": -999.0},
    ],
    ids=str,
)
def test_a_model_that_scores_in_another_way_has_another_digest(changes: dict[str, Any]) -> None:
    assert changed(**changes)


@pytest.mark.parametrize("changes", [{"version": "2"}, {"tolerated_quarantine_fraction": 0.5}], ids=str)
def test_names_and_tolerances_do_not_count(changes: dict[str, Any]) -> None:
    assert not changed(**changes)


def test_a_release_that_scores_in_another_way_keeps_nothing() -> None:
    now = output_digests([MODEL], "per_model", scoring_contract=2)
    assert now != output_digests([MODEL], "per_model", scoring_contract=1)


def test_models_of_their_own_outputs_do_not_depend_on_each_other() -> None:
    alone, together = output_digests([MODEL], "per_model"), output_digests([OTHER, MODEL], "per_model")
    assert alone["churn"] == together["churn"]


def test_a_joined_output_depends_on_all_of_its_models_and_their_order() -> None:
    digests = output_digests([MODEL, OTHER], "joined")
    assert digests != output_digests([MODEL, OTHER], "joined", joined_nulls=True)
    assert digests["churn"] != output_digests([MODEL], "joined")["churn"]
    assert digests["churn"] != output_digests([OTHER, MODEL], "joined")["churn"]
    assert digests["churn"] != output_digests([MODEL, OTHER], "per_model")["churn"]
    assert digests == output_digests([replace(MODEL, version="2"), OTHER], "joined")


def test_a_fleets_output_depends_on_routes_models_and_versions() -> None:
    digests = output_digests([MODEL, OTHER], "fleet", fleet=FLEET)
    assert set(digests) == {"sales"}
    assert digests != output_digests([replace(MODEL, version="2"), OTHER], "fleet", fleet=FLEET)
    assert digests != output_digests([MODEL, OTHER], "fleet", fleet=replace(FLEET, unmatched=SKIP))
    swapped = replace(FLEET, routes={"1": "upsell", "2": "churn"})
    assert digests != output_digests([MODEL, OTHER], "fleet", fleet=swapped)


@pytest.mark.parametrize(
    ("quarantined", "version", "fraction", "kept"),
    [(0, "2", 0.0, True), (1, "1", 0.1, True), (1, "2", 0.1, False), (2, "1", 0.1, False)],
)
def test_rows_in_quarantine_need_the_same_version_and_tolerance(
    quarantined: int, version: str, fraction: float, kept: bool
) -> None:
    commit = Commit("churn", "a.parquet", "etag", 10, 10 - quarantined, quarantined, ())
    now = replace(MODEL, version=version, tolerated_quarantine_fraction=fraction)
    assert keeps_commit(commit, "1", now) is kept
