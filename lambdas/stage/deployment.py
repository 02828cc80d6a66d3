"""The deployed stage as the functions see it: settings, table and buckets."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from contract.table.records import record_time
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.instance_quotas import InstanceQuotas
from lambdas.stage.settings import StageSettings
from lambdas.stage.tables.estimate_table import EstimateTable
from lambdas.stage.tables.job_table import JobTable
from lambdas.stage.tables.latest_pointers import LatestPointers
from lambdas.stage.tables.pool_table import PoolTable
from lambdas.stage.tables.upload_table import UploadTable


@dataclass(frozen=True)
class Deployment:
    """The settings, table and buckets that most steps need."""

    settings: StageSettings
    table: JobTable
    uploads: UploadTable
    store: ObjectStore
    latest: LatestPointers
    pools: PoolTable
    quotas: InstanceQuotas
    clock: Callable[[], datetime]
    """Returns the current time in UTC."""
    estimates: EstimateTable

    def now(self) -> str:
        """Return the current time as records write it: ISO 8601 in UTC, in milliseconds, sortable
        as text."""
        return record_time(self.clock())
