"""Reads the stage's prices."""

from contract.planner.prices import PriceTable
from contract.table.price_items import PRICES_KEY, read_prices
from lambdas.stage.tables.table import Table


class StagePrices(Table):
    """Reads the prices that people have set for the stage."""

    def prices(self) -> PriceTable | None:
        """Return the stage's prices; None if it uses those of the release.

        Raises:
            InvalidInputError: see `read_prices`.
        """
        answer = self._dynamodb.get_item(TableName=self._table_name, Key=PRICES_KEY, ConsistentRead=True)
        return read_prices(answer["Item"]) if "Item" in answer else None
