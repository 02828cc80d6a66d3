"""Prices of instances per hour. What the table does not have has no price: nothing is guessed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from contract.checks import raise_if_any
from contract.codec import decode_fields
from contract.json_text import JsonError, parse_json
from contract.problems import InvalidInputError, Problem

BUNDLED = Path(__file__).with_name("prices.json")
"""The price table of this release."""

PricedKind = Literal["processing", "training", "training_spot"]
"""Kind of the job: a price depends on it."""


@dataclass(frozen=True)
class RegionPrices:
    """US dollars per instance and hour in one Region, by instance type."""

    processing: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, float] = field(default_factory=dict)
    training_spot: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PriceTable:
    """Prices with their origin."""

    date: str
    """Day on which the prices were read, as YYYY-MM-DD."""
    source: str
    """Where they were read, for people."""
    regions: Mapping[str, RegionPrices] = field(default_factory=dict)

    def usd_per_hour(self, region: str, kind: PricedKind, instance_type: str) -> float | None:
        """Return the price of one instance, or None if the table does not have it."""
        prices = self.regions.get(region)
        if prices is None:
            return None
        by_type: Mapping[str, float] = getattr(prices, kind)
        return by_type.get(instance_type)


@cache
def bundled_prices() -> PriceTable:
    """Return the price table of this release."""
    return parse_prices(BUNDLED.read_text(), "the bundled price table")


def parse_prices(text: str | bytes, subject: str = "price table") -> PriceTable:
    """Return the price table of a JSON text.

    Raises:
        InvalidInputError: with every problem that was found.
    """
    try:
        data = parse_json(text)
    except JsonError as error:
        raise InvalidInputError(
            subject, [Problem(subject, str(error), "a JSON object with date, source and regions")]
        ) from error
    if not isinstance(data, Mapping):
        raise InvalidInputError(subject, [Problem(subject, data, "a JSON object with date, source and regions")])
    table, problems = decode_fields(PriceTable, data)
    if table is None or problems:
        raise InvalidInputError(subject, problems)
    raise_if_any(_price_problems(table), subject)
    return table


def _price_problems(table: PriceTable) -> list[Problem]:
    return [
        Problem(
            f"regions.{region}.{kind}.{name}",
            price,
            "US dollars per hour, more than 0",
            "Leave the entry out if the price is not known.",
        )
        for region, prices in table.regions.items()
        for kind in ("processing", "training", "training_spot")
        for name, price in getattr(prices, kind).items()
        if not price > 0
    ]
