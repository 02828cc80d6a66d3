"""Deletes models and versions: refused while something uses them, and never half-done in silence.

A model is disabled first, then its artifacts go, then its records, the model's own last. So what an
interruption leaves is a disabled model, which the next run deletes. A version's record goes first,
on condition that it is not current, because nothing can choose a version without a record. The
names of deleted versions stay in the table, so that no other artifact gets the same name.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from boto3.dynamodb.conditions import Key

from cli.failures import CommandError
from cli.stage.catalog.catalog import unknown_model_message, unknown_version_message
from cli.stage.catalog.catalog_table import CatalogTable, VersionTakenError, now
from cli.stage.connection import Connection, query_items
from cli.stage.deployment import Deployment
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.executions import Executions
from contract import layout, training_layout
from contract.catalog.models import DeletedVersion, Model, ModelVersion
from contract.table import catalog_items, records

_THREADS = 8
_KEYS_PER_CALL = 1_000
"""Maximum number of keys that one DeleteObjects call takes."""
_CHANGED = "Another command is changing model {model_id}. Run the command again."


@dataclass(frozen=True)
class Deletion:
    """What was deleted."""

    model_id: str
    versions: tuple[str, ...]
    recipe: bool
    objects: int
    """Artifacts and archives of training scripts."""
    whole: bool
    """Whether the model itself was deleted, and not one version."""


class ModelDeletion:
    """Deletes models and versions of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._executions = Executions(connection, deployment)
        self._workflow = connection.client("stepfunctions")
        self._machines = (deployment.state_machine_arn, deployment.training_state_machine_arn)
        self._s3 = connection.client("s3")
        self._bucket = deployment.models_bucket
        self._table = connection.resource("dynamodb").Table(deployment.table_name)
        self._catalog = CatalogTable(self._table, connection)

    def check_model(self, model_id: str) -> tuple[str, ...]:
        """Check that nothing needs a model; return the names of its versions.

        Raises:
            CommandError: when the model does not exist, or a fleet or an execution uses it.
        """
        model, versions = self._catalog.read(model_id)
        if model is None and not versions and not self._items(model_id):
            raise CommandError(unknown_model_message(model_id))
        current = versions.get(model.current_version) if model is not None else None
        if current is not None and current.fleet and self._catalog.fleet_ids([current.fleet]):
            raise CommandError(
                f"Model {model_id} is in fleet {current.fleet}. Register a version of it without --fleet, or delete "
                f"the fleet with `fleetscore fleets delete {current.fleet}`."
            )
        self._check_executions(model_id, list(versions.values()), f"Model {model_id}")
        return tuple(sorted(versions))

    def check_version(self, model_id: str, version: str) -> None:
        """Check that nothing needs a version.

        Raises:
            CommandError: when it does not exist, is the current one, or an execution uses it.
        """
        model, versions = self._catalog.read(model_id)
        if model is None and not versions:
            raise CommandError(unknown_model_message(model_id))
        if version not in versions:
            if self._has_artifact(model_id, version):
                # An interrupted deletion, or registration, has left it.
                return
            raise CommandError(unknown_version_message(model_id, version, versions))
        if model is not None and model.current_version == version:
            raise CommandError(
                f"Version {version} is the current version of model {model_id}. Make another one current with "
                f"`fleetscore models promote {model_id} VERSION`, or delete the model without --version."
            )
        self._check_executions(model_id, [versions[version]], f"Version {version} of model {model_id}")

    def delete_model(self, model_id: str) -> Deletion:
        """Delete a model with its versions, its recipe and their objects. An interrupted run can be repeated.

        Raises:
            CommandError: when something uses the model, or another command changes it meanwhile.
        """
        self.check_model(model_id)
        before, _ = self._catalog.read(model_id)
        model = self._catalog.set_enabled(model_id, enabled=False) if before is not None else None
        try:
            # Again, because an execution may have been planned before the model was disabled.
            names = self.check_model(model_id)
        except CommandError:
            if before is not None and before.enabled:
                self._catalog.set_enabled(model_id, enabled=True)
            raise
        objects = self._delete_objects(self._keys(model_id, names))
        sort_keys = {str(item[records.SORT_KEY]) for item in self._items(model_id)}
        for name in names:
            self._table.put_item(Item=catalog_items.deleted_version_item(DeletedVersion(model_id, name, now())))
        has_recipe = records.RECIPE_SORT_KEY in sort_keys
        if has_recipe:
            self._catalog.write(*self._catalog.delete_listed("RECIPE", model_id, {}))
        if model is not None:
            self._delete_model_record(model)
        return Deletion(model_id, names, has_recipe, objects, whole=True)

    def delete_version(self, model_id: str, version: str) -> Deletion:
        """Delete a version that is not current, and its artifact.

        Raises:
            CommandError: when something uses the version, or another command changes the model meanwhile.
        """
        self.check_version(model_id, version)
        model, _ = self._catalog.read(model_id)
        actions = [self._catalog.put_deleted_version(model_id, version)]
        if model is not None:
            # `rollback` must not choose it either.
            previous = None if model.previous_version == version else model.previous_version
            actions += self._catalog.put_model(replace(model, previous_version=previous), model)
        try:
            self._catalog.write(*actions)
        except VersionTakenError as error:
            raise CommandError(_CHANGED.format(model_id=model_id)) from error
        objects = self._delete_objects([layout.artifact_key(model_id, version)])
        return Deletion(model_id, (version,), recipe=False, objects=objects, whole=False)

    def _check_executions(self, model_id: str, versions: Sequence[ModelVersion], subject: str) -> None:
        """Check that no running execution uses one of the versions.

        Raises:
            CommandError: naming the execution.
        """
        names = {version.spec.version for version in versions}
        fleets = {version.fleet for version in versions if version.fleet}
        with ThreadPoolExecutor(_THREADS) as pool:
            for snapshot in pool.map(self._snapshot, list(self._running())):
                if snapshot is None or snapshot.ended:
                    continue
                name = snapshot.execution_id
                if snapshot.record is None or snapshot.record.plan is None:
                    raise CommandError(
                        f"Execution {name} is being planned and may use it, so {subject} was not deleted. Run the "
                        f"command again when it is planned (`fleetscore status {name}`)."
                    )
                if any(_uses(snapshot, model_id, names, fleets)):
                    raise CommandError(
                        f"{subject} is used by the running execution {name}, and was not deleted. Wait for its end, or "
                        f"stop it with `fleetscore stop {name}`."
                    )

    def _running(self) -> Iterator[str]:
        for machine in self._machines:
            pages = self._workflow.get_paginator("list_executions").paginate(
                stateMachineArn=machine, statusFilter="RUNNING"
            )
            yield from (str(item["executionArn"]) for page in pages for item in page["executions"])

    def _snapshot(self, arn: str) -> Snapshot | None:
        try:
            return self._executions.snapshot(arn, count_committed=False)
        except CommandError:
            # It has ended and was removed since it was listed.
            return None

    def _items(self, model_id: str) -> list[dict[str, Any]]:
        """Return all items of a model, without those of deleted versions."""
        condition = Key(records.PARTITION_KEY).eq(catalog_items.model_key(model_id)[records.PARTITION_KEY])
        items = query_items(self._table, KeyConditionExpression=condition, ConsistentRead=True)
        return [item for item in items if not catalog_items.is_deleted_version(item)]

    def _keys(self, model_id: str, versions: Sequence[str]) -> list[str]:
        """Return the keys of these versions' artifacts, and of all archives of training scripts."""
        prefix = training_layout.code_prefix(model_id)
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        archives = [str(entry["Key"]) for page in pages for entry in page.get("Contents", ())]
        return [*(layout.artifact_key(model_id, version) for version in versions), *archives]

    def _has_artifact(self, model_id: str, version: str) -> bool:
        key = layout.artifact_key(model_id, version)
        return bool(self._s3.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1).get("KeyCount"))

    def _delete_objects(self, keys: Sequence[str]) -> int:
        """Delete objects, whose versions the bucket keeps for a time; return how many.

        Raises:
            CommandError: when S3 refuses one.
        """
        for start in range(0, len(keys), _KEYS_PER_CALL):
            wanted = [{"Key": key} for key in keys[start : start + _KEYS_PER_CALL]]
            answer = self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": wanted, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise CommandError(
                    f"{layout.s3_uri(self._bucket, error['Key'])} was not deleted: {error.get('Code')}, "
                    f"{error.get('Message')}. The permission is in docs/operate/policies/delete-models.json. "
                    "Run the command again to continue."
                )
        return len(keys)

    def _delete_model_record(self, model: Model) -> None:
        try:
            unchanged = {
                "ConditionExpression": "updated_at = :seen",
                "ExpressionAttributeValues": {":seen": model.updated_at},
            }
            self._catalog.write(*self._catalog.delete_listed("MODEL", model.model_id, unchanged))
        except VersionTakenError as error:
            raise CommandError(_CHANGED.format(model_id=model.model_id)) from error


def _uses(snapshot: Snapshot, model_id: str, versions: set[str], fleets: set[str]) -> Iterator[bool]:
    for job in snapshot.jobs:
        # The record of a fleet's job names the fleet, and not the versions of its models.
        yield bool(job.fleet) and job.fleet in fleets
        pairs = zip(job.model_ids, job.model_versions, strict=False)
        yield any(used == model_id and (version in versions or not version) for used, version in pairs)
