"""Price tables: the bundled one, and those of users."""

import json
from typing import Any

import pytest

from contract.planner.instances import size_of
from contract.planner.prices import bundled_prices, parse_prices
from contract.problems import InvalidInputError

TABLE: dict[str, Any] = {
    "date": "2026-01-31",
    "source": "our contract",
    "regions": {"eu-central-1": {"processing": {"ml.m5.large": 0.12}, "training_spot": {"ml.m5.large": 0.04}}},
}


def problems_of(**changes: Any) -> str:
    with pytest.raises(InvalidInputError) as caught:
        parse_prices(json.dumps({**TABLE, **changes}))
    return str(caught.value)


def test_a_users_table_replaces_the_bundled_one() -> None:
    table = parse_prices(json.dumps(TABLE))
    assert table.usd_per_hour("eu-central-1", "processing", "ml.m5.large") == 0.12
    assert table.usd_per_hour("eu-central-1", "training_spot", "ml.m5.large") == 0.04
    assert table.origin("eu-central-1") == ("2026-01-31", "our contract")


def test_what_the_table_does_not_have_has_no_price() -> None:
    table = parse_prices(json.dumps(TABLE))
    assert table.usd_per_hour("eu-central-1", "training", "ml.m5.large") is None
    assert table.usd_per_hour("eu-central-1", "processing", "ml.m5.xlarge") is None
    assert table.usd_per_hour("eu-north-1", "processing", "ml.m5.large") is None


def test_each_bundled_region_names_its_source_and_only_types_of_known_size() -> None:
    table = bundled_prices()
    assert table.regions
    for region, prices in table.regions.items():
        assert prices.date
        assert len(prices.source) > 20
        assert all(size_of(name) for name in (*prices.processing, *prices.training))
        assert table.usd_per_hour(region, "processing", "ml.m5.xlarge")


def test_wrong_values_are_named_with_what_to_do() -> None:
    assert "regions.eu-central-1.processing.ml.m5.large: got 0" in problems_of(
        regions={"eu-central-1": {"processing": {"ml.m5.large": 0}}}
    )
    assert "Leave the entry out" in problems_of(regions={"eu-central-1": {"processing": {"ml.m5.large": -1}}})
    assert "date: got '1.2.2026', expected a day" in problems_of(date="1.2.2026")
    assert "regions.Frankfurt: got 'Frankfurt'" in problems_of(regions={"Frankfurt": {}})
    assert "processing.m5.large" in problems_of(regions={"eu-central-1": {"processing": {"m5.large": 1}}})
    assert "currency" in problems_of(currency="EUR")


def test_a_text_that_is_no_table_is_refused() -> None:
    for text in ("", "[]", "{", '{"date": "2026-01-31"}'):
        with pytest.raises(InvalidInputError):
            parse_prices(text)
