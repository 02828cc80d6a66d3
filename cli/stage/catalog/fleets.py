"""Fleets in the table, and the models that name them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.conditions import Key

from cli.documents.model_document import Draft
from cli.failures import CommandError
from cli.stage.catalog.catalog import Catalog, unknown_fleet_problem
from cli.stage.catalog.catalog_table import now
from cli.stage.connection import Connection, query_items
from cli.stage.deployment import Deployment
from contract.catalog.fleets import FleetRecord
from contract.catalog.models import Model, ModelVersion
from contract.codec import decode_fields, to_value
from contract.job.fleet import fleet_model
from contract.job.fleet_checks import fleet_spec
from contract.problems import InvalidInputError, Problem
from contract.table import catalog_items, records


@dataclass(frozen=True)
class FleetMember:
    """A model of a fleet, with its current version."""

    model: Model
    version: ModelVersion


@dataclass(frozen=True)
class Fleet:
    """A fleet and its models, by id."""

    record: FleetRecord
    members: tuple[FleetMember, ...]

    @property
    def enabled(self) -> tuple[FleetMember, ...]:
        return tuple(member for member in self.members if member.model.enabled)

    @property
    def version(self) -> str:
        """The version of the one model that the fleet is; empty if a plan would refuse the fleet."""
        versions = [member.version for member in self.enabled]
        spec, _ = fleet_spec(self.record, versions)
        return "" if spec is None else fleet_model(spec, [version.spec for version in versions]).version

    def problems(self) -> list[Problem]:
        """Return the problems with which a plan would refuse the fleet, as far as the catalog tells."""
        return fleet_spec(self.record, [member.version for member in self.enabled])[1]


class Fleets:
    """The fleets of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._table = connection.resource("dynamodb").Table(deployment.table_name)
        self._catalog = Catalog(connection, deployment)
        self._datasets: dict[str, str | None] = {}

    def set(self, fleet_id: str, fields: Mapping[str, Any], *, updated_by: str = "") -> FleetRecord:
        """Create a fleet, or change these fields of it.

        Raises:
            InvalidInputError: with every problem of the record.
        """
        before = self._find(fleet_id)
        known = {} if before is None else dict(to_value(before))
        compute = {**known.get("compute", {}), **fields.get("compute", {})}
        changed = {"fleet_id": fleet_id, "updated_at": now(), "updated_by": updated_by, "compute": compute}
        record, problems = decode_fields(FleetRecord, {**known, **fields, **changed})
        if record is None:
            raise InvalidInputError(f"fleet {fleet_id}", problems)
        self._table.put_item(Item=catalog_items.fleet_item(record))
        return record

    def all(self) -> list[Fleet]:
        """Return every fleet, by id."""
        condition = Key(records.INDEX_PARTITION_KEY).eq(records.FLEETS_COLLECTION)
        items = query_items(self._table, IndexName=records.INDEX_NAME, KeyConditionExpression=condition)
        found = [records.read_item(FleetRecord, item) for item in items]
        members = self._members() if found else {}
        return [Fleet(record, tuple(members.get(record.fleet_id, ()))) for record in found]

    def show(self, fleet_id: str) -> Fleet:
        """Return a fleet.

        Raises:
            CommandError: when it does not exist.
        """
        record = self._find(fleet_id)
        if record is None:
            raise CommandError(_unknown_fleet_message(fleet_id))
        return Fleet(record, tuple(self._members().get(fleet_id, ())))

    def with_dataset(self, draft: Draft) -> Draft:
        """Return a draft of a model, with the dataset of its fleet if it names none.

        The draft of an unknown fleet has this as its problem, and not the missing dataset.
        """
        fleet_id = draft.fields.get("fleet")
        if "dataset" in draft.fields or not isinstance(fleet_id, str) or not fleet_id:
            return draft
        if fleet_id not in self._datasets:
            record = self._find(fleet_id)
            self._datasets[fleet_id] = None if record is None else record.dataset
        dataset = self._datasets[fleet_id]
        if dataset is None:
            return draft.with_changes(unknown_fleet_problem(fleet_id), dataset="unknown")
        return draft.with_changes(dataset=dataset)

    def delete(self, fleet_id: str) -> FleetRecord:
        """Delete a fleet and return it.

        Raises:
            CommandError: when it does not exist, or has enabled models: executions of `{}` would be refused.
        """
        fleet = self.show(fleet_id)
        if fleet.enabled:
            first = fleet.enabled[0].model.model_id
            raise CommandError(
                f"Fleet {fleet_id} has {len(fleet.enabled):,} enabled models, such as {first}. Register versions of "
                "them without --fleet, or disable them with `fleetscore models disable`."
            )
        self._table.delete_item(Key=catalog_items.fleet_key(fleet_id))
        return fleet.record

    def _find(self, fleet_id: str) -> FleetRecord | None:
        item = self._table.get_item(Key=catalog_items.fleet_key(fleet_id), ConsistentRead=True).get("Item")
        return records.read_item(FleetRecord, item) if item else None

    def _members(self) -> dict[str, list[FleetMember]]:
        found: dict[str, list[FleetMember]] = {}
        for model, version in self._catalog.models():
            if version is not None and version.fleet:
                found.setdefault(version.fleet, []).append(FleetMember(model, version))
        return found


def _unknown_fleet_message(fleet_id: str) -> str:
    return (
        f"There is no fleet {fleet_id!r}. `fleetscore fleets list` shows every fleet, "
        f"`fleetscore fleets set {fleet_id} --dataset … --route-by …` creates one."
    )
