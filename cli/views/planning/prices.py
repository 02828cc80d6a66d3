"""Views of a stage's prices."""

from typing import Any

from rich.console import RenderableType

from cli.stage.planning.prices import UsedPrices
from cli.views.tables import add_row, plain_table
from contract.codec import to_value

_KINDS = ("processing", "training", "training_spot")


def prices_json(used: UsedPrices) -> dict[str, Any]:
    """Return prices as JSON. `bundled` tells whether they are those of the release."""
    return {
        "region": used.region,
        "bundled": used.is_bundled,
        **to_value(used.prices),
        "date": used.date,
        "source": used.source,
    }


def prices_view(used: UsedPrices) -> list[RenderableType]:
    """Return a sentence about the origin of prices, and a table of them."""
    owner = "of this release" if used.is_bundled else "of this stage"
    origin = (
        f"Prices {owner} for {used.region} in US dollars per instance and hour, of {used.date}. Source: {used.source}."
    )
    prices = used.prices
    names = sorted({*prices.processing, *prices.training, *prices.training_spot})
    if not names:
        return [origin, "There are none: costs are left out. Get them with `fleetscore prices refresh`."]
    table = plain_table("instance type", "processing", "training", "spot training", right=("processing", "training"))
    for name in names:
        known = (getattr(prices, kind).get(name) for kind in _KINDS)
        add_row(table, name, *("" if price is None else f"{price:,.4f}" for price in known))
    return [origin, table]
