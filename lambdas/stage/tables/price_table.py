"""Reads the stage's prices."""

from contract.planner.prices import PriceTable
from contract.table.price_items import PRICES_KEY
from lambdas.stage.tables.table import Table


class StagePrices(Table):
    """Reads the prices that people have set for the stage."""

    def prices(self) -> PriceTable | None:
        """Return the stage's prices; None if it uses those of the release."""
        return self._get(PriceTable, PRICES_KEY)
