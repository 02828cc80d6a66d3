"""Prices of instances per hour. What the table does not have has no price: nothing is guessed."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from contract.checks import raise_if_any
from contract.codec import decode_fields
from contract.json_text import JsonError, parse_json
from contract.names import INSTANCE_TYPE
from contract.problems import InvalidInputError, Problem

BUNDLED = Path(__file__).with_name("prices.json")
"""The price table of this release."""

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_HIGHEST = 10_000.0
"""Highest price that is taken for one, in US dollars per hour."""

PricedKind = Literal["processing", "training", "training_spot"]
"""Kind of the job: a price depends on it."""


@dataclass(frozen=True)
class RegionPrices:
    """US dollars per instance and hour in one Region, by instance type."""

    processing: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, float] = field(default_factory=dict)
    training_spot: Mapping[str, float] = field(default_factory=dict)
    date: str = ""
    """Day on which these prices were read; empty: that of the table."""
    source: str = ""


@dataclass(frozen=True)
class PriceTable:
    """Prices with their origin."""

    date: str
    """Day on which the prices were read, as YYYY-MM-DD."""
    source: str
    """Where they were read, for people."""
    regions: Mapping[str, RegionPrices] = field(default_factory=dict)

    def origin(self, region: str) -> tuple[str, str]:
        """Return the date and the source of a Region's prices."""
        prices = self.regions.get(region, RegionPrices())
        return prices.date or self.date, prices.source or self.source

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
    expected = "a JSON object with date, source and regions, as docs/operate/planning.md#prices shows"
    remedy = "Correct the file."
    try:
        data = parse_json(text)
    except JsonError as error:
        got = text if isinstance(text, str) else text.decode(errors="replace")
        raise InvalidInputError(subject, [Problem(subject, got, f"{expected}; {error}", remedy)]) from error
    if not isinstance(data, Mapping):
        raise InvalidInputError(subject, [Problem(subject, data, expected, remedy)])
    table, problems = decode_fields(PriceTable, data)
    if table is None or problems:
        raise InvalidInputError(subject, problems)
    raise_if_any(price_problems(table), subject)
    return table


def price_problems(table: PriceTable) -> list[Problem]:
    """Return what is wrong with dates, Regions, instance types and prices."""
    problems = _check_date("date", table.date)
    for region, prices in table.regions.items():
        if not _REGION.fullmatch(region):
            problems.append(Problem(f"regions.{region}", region, "the code of a Region, such as 'eu-central-1'"))
        problems += _check_date(f"regions.{region}.date", prices.date) if prices.date else []
        for kind in get_args(PricedKind):
            for name, price in getattr(prices, kind).items():
                path = f"regions.{region}.{kind}.{name}"
                problems += INSTANCE_TYPE.problems(path, name)
                if not 0 < price < _HIGHEST:
                    remedy = "Leave the entry out if the price is not known."
                    problems.append(Problem(path, price, "US dollars per hour, more than 0", remedy))
    return problems


def _check_date(field_name: str, text: str) -> list[Problem]:
    try:
        is_day = dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_day = False
    return [] if is_day else [Problem(field_name, text, "a day such as '2026-01-31'")]
