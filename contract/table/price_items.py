"""The item with the stage's prices, which `fleetscore prices set` and `refresh` write."""

from collections.abc import Mapping
from typing import Any

from contract.checks import raise_if_any
from contract.planner.prices import PriceTable, price_problems
from contract.table.records import PARTITION_KEY, SORT_KEY, read_item, record_item

PRICES_PARTITION = "PRICES"
PRICES_KEY = {PARTITION_KEY: PRICES_PARTITION, SORT_KEY: "PRICES"}


def prices_item(table: PriceTable) -> dict[str, Any]:
    """Return the item of a price table, which should only have the stage's Region: an item has at most 400 KB."""
    return record_item(table, PRICES_KEY, None)


def read_prices(item: Mapping[str, Any]) -> PriceTable:
    """Return the price table of an item.

    Raises:
        InvalidInputError: if another release wrote the item, or somebody has changed it by hand.
    """
    table = read_item(PriceTable, item)
    raise_if_any(price_problems(table), "the stage's prices")
    return table
