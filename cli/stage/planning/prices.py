"""The stage's prices: read, replace, and refresh them with the Price List API."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cli.failures import CommandError
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.json_text import parse_json
from contract.names import INSTANCE_TYPE
from contract.planner.prices import PricedKind, PriceTable, RegionPrices, bundled_prices
from contract.problems import InvalidInputError
from contract.table.price_items import PRICES_KEY, prices_item, read_prices

_SERVICE = "AmazonSageMaker"
_COMPONENTS: Mapping[str, PricedKind] = {"Processing": "processing", "Training": "training"}
"""Attribute `component` of the products that are priced, and the kind of job."""
_API_REGIONS = {"aws": "us-east-1"}
"""Region of the Price List API by partition. The one of China has other currencies, and GovCloud has none."""
_SPOT = "; spot: "
"""What precedes the origin of spot prices in the source of refreshed ones."""
_HOURS = frozenset({"hrs", "hours", "hour", "hr"})


@dataclass(frozen=True)
class UsedPrices:
    """The prices with which a stage plans."""

    region: str
    table: PriceTable
    is_bundled: bool
    """Whether they are those of the release."""

    @property
    def prices(self) -> RegionPrices:
        """The prices of the stage's Region."""
        return self.table.regions.get(self.region, RegionPrices())

    @property
    def date(self) -> str:
        """Day on which they were read."""
        return self.table.origin(self.region)[0]

    @property
    def source(self) -> str:
        """Where they were read."""
        return self.table.origin(self.region)[1]


class StagePrices:
    """The prices of a stage, in its table."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._connection = connection
        self._table = connection.resource("dynamodb").Table(deployment.table_name)
        self.region: str = self._table.meta.client.meta.region_name
        self._partition: str = self._table.meta.client.meta.partition

    def read(self) -> UsedPrices:
        """Return the prices that plans use."""
        item = self._table.get_item(Key=PRICES_KEY, ConsistentRead=True).get("Item")
        if item is None:
            return UsedPrices(self.region, bundled_prices(), is_bundled=True)
        return UsedPrices(self.region, read_prices(item), is_bundled=False)

    def replace(self, table: PriceTable) -> UsedPrices:
        """Write prices, of which only those of the stage's Region are kept.

        Raises:
            CommandError: when there are none of this Region.
        """
        prices = table.regions.get(self.region)
        if prices is None or not (prices.processing or prices.training or prices.training_spot):
            known = ", ".join(sorted(table.regions)) or "none"
            raise CommandError(
                f"regions: got {known}, expected prices of {self.region}, the Region of the stage. Add them, or name "
                "another stage or Region."
            )
        kept = PriceTable(*table.origin(self.region), {self.region: replace(prices, date="", source="")})
        self._table.put_item(Item=prices_item(kept))
        return UsedPrices(self.region, kept, is_bundled=False)

    def reset(self) -> UsedPrices:
        """Delete the stage's own prices, so that plans use those of the release."""
        self._table.delete_item(Key=PRICES_KEY)
        return self.read()

    def refresh(self, now: datetime | None = None) -> UsedPrices:
        """Replace the prices of processing and training with those that the Price List API has now.

        It has no prices of spot capacity: the known ones are kept, and the source says of when they are.

        Raises:
            CommandError: when the API has no prices in US dollars for the stage's Region.
        """
        api_region = _API_REGIONS.get(self._partition)
        if api_region is None:
            raise CommandError(
                f"The Price List API has no prices in US dollars for the partition {self._partition}. Write them into "
                "a file, and use `fleetscore prices set FILE`."
            )
        client = self._connection.client("pricing", region=api_region)
        found: dict[PricedKind, dict[str, float]] = {"processing": {}, "training": {}}
        published = ""
        for component, kind in _COMPONENTS.items():
            for product in _products(client, self.region, component):
                published = max(published, str(product.get("publicationDate", ""))[:10])
                name, price = instance_type_of(product), usd_per_hour(product)
                if name and price and not INSTANCE_TYPE.problems("", name):
                    found[kind][name] = max(price, found[kind].get(name, 0.0))
        if not found["processing"]:
            raise CommandError(
                f"The Price List API has no prices of SageMaker Processing in {self.region}. Write them into a file, "
                "and use `fleetscore prices set FILE`."
            )
        source = f"AWS Price List API{f', published {published}' if published else ''}"
        spot, spot_source = self._spot_prices()
        if spot:
            source += f"{_SPOT}{spot_source}"
        prices = RegionPrices(found["processing"], found["training"], spot)
        date = (now or datetime.now(UTC)).date().isoformat()
        return self.replace(PriceTable(date, source, {self.region: prices}))

    def _spot_prices(self) -> tuple[Mapping[str, float], str]:
        """Return the known prices of spot capacity, and where and when they were read."""
        try:
            before = self.read()
        except InvalidInputError:
            return {}, ""
        # After an earlier refresh, the source says it.
        _, _, kept = before.source.partition(_SPOT)
        return before.prices.training_spot, kept or f"{before.source}, {before.date}"


def instance_type_of(product: Mapping[str, Any]) -> str:
    """Return the instance type of a product of the Price List; empty if it has none.

    >>> instance_type_of({"product": {"attributes": {"instanceType": "ml.m5.xlarge-Processing"}}})
    'ml.m5.xlarge'
    """
    attributes = product.get("product", {}).get("attributes", {})
    name = attributes.get("instanceName") or str(attributes.get("instanceType", "")).rpartition("-")[0]
    return str(name) if str(name).startswith("ml.") else ""


def usd_per_hour(product: Mapping[str, Any]) -> float | None:
    """Return the on-demand price of a product per hour; None if it has none in US dollars."""
    dimensions = (
        dimension
        for term in product.get("terms", {}).get("OnDemand", {}).values()
        for dimension in term.get("priceDimensions", {}).values()
    )
    prices = [
        float(dimension["pricePerUnit"]["USD"])
        for dimension in dimensions
        if str(dimension.get("unit", "")).lower() in _HOURS and "USD" in dimension.get("pricePerUnit", {})
    ]
    return max(prices, default=None)


def _products(client: Any, region: str, component: str) -> Iterator[dict[str, Any]]:
    filters = [
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": region},
        {"Type": "TERM_MATCH", "Field": "component", "Value": component},
    ]
    pages: Iterable[Any] = client.get_paginator("get_products").paginate(ServiceCode=_SERVICE, Filters=filters)
    for page in pages:
        for text in page["PriceList"]:
            yield parse_json(text)
