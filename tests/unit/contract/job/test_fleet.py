"""The one model that the models of a fleet are together."""

import pytest

from contract.catalog.model_fields import Feature
from contract.job.fleet import FleetSpec, fleet_model
from contract.problems import InvalidInputError
from tests.unit.lambdas.builders import any_model_spec

FLEET = FleetSpec("delays", "carrier", {"UA": "ua", "AA": "aa"})
MODELS = [any_model_spec("ua"), any_model_spec("aa")]


def test_the_route_is_one_more_feature() -> None:
    spec = fleet_model(FLEET, MODELS)
    assert spec.model_id == "delays"
    assert spec.features == (*MODELS[0].features, Feature("carrier", "string"))
    assert spec.partition_columns == ()


def test_a_route_that_the_models_read_stays_their_feature() -> None:
    [feature, *_] = MODELS[0].features
    fleet = FleetSpec("delays", feature.name, {"UA": "ua", "AA": "aa"})
    assert fleet_model(fleet, MODELS).features == MODELS[0].features


def test_a_route_in_the_key_is_a_partition_column() -> None:
    fleet = FleetSpec("delays", "carrier", {"UA": "ua"}, in_key=True)
    assert fleet_model(fleet, MODELS).partition_columns == ("carrier",)


@pytest.mark.parametrize(
    ("fleet", "models"),
    [
        (FleetSpec("delays", "carrier", {"UA": "ua", "DL": "aa"}), MODELS),
        (FleetSpec("delays", "carrier", {"UA": "ua", "AA": "aa"}, "skip"), MODELS),
        (FLEET, [any_model_spec("ua", version="2"), MODELS[1]]),
        (FLEET, [*MODELS, any_model_spec("dl")]),
    ],
)
def test_the_version_changes_with_routes_and_models(fleet: FleetSpec, models: list[object]) -> None:
    assert fleet_model(fleet, models).version != fleet_model(FLEET, MODELS).version  # type: ignore[arg-type]
    assert fleet_model(FLEET, MODELS[::-1]).version == fleet_model(FLEET, MODELS).version


@pytest.mark.parametrize(
    ("unmatched", "fallback"), [("quarantine", ""), ("skip", ""), ("model:ua", "ua"), ("model:", None), ("drop", None)]
)
def test_rows_of_no_model_have_one_of_three_ends(unmatched: str, fallback: str | None) -> None:
    if fallback is None:
        with pytest.raises(InvalidInputError, match="unmatched"):
            FleetSpec("delays", "carrier", {"UA": "ua"}, unmatched)
    else:
        assert FleetSpec("delays", "carrier", {"UA": "ua"}, unmatched).fallback == fallback
