"""The catalog in the table: the only module of the command that writes to the table."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from cli.documents.artifact import (
    Artifact,
    ArtifactTakenError,
    check_place,
    fetch_artifact,
    hash_artifact,
    inspect_artifact,
    store_artifact,
)
from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract import layout
from contract.catalog.models import CurrentChange, Model, ModelVersion
from contract.problems import InvalidInputError
from contract.status import VersionState
from contract.table import records

_TRIES = 5
_BATCH_GET_ITEMS = 100
_TRANSACTION_ITEMS = 100
_ABSENT = f"attribute_not_exists({records.PARTITION_KEY})"
_PRESENT = f"attribute_exists({records.PARTITION_KEY})"


@dataclass(frozen=True)
class Registered:
    """A model after a registration, its new version, and where the artifact lies."""

    model: Model
    version: ModelVersion
    artifact_uri: str


class VersionTakenError(Exception):
    """The version was written, or the model changed, since it was read."""


class Catalog:
    """The models of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        resource = connection.resource("dynamodb")
        self._table = resource.Table(deployment.table_name)
        self.s3 = connection.client("s3")
        self._bucket = deployment.models_bucket

    def register(self, document: ModelDocument, *, folder: Path | None = None, registered_by: str = "") -> Registered:
        """Check and upload the artifact, then write the version and make it the model's current one, both or neither.

        Raises:
            InvalidInputError: when the artifact is not what the document says.
            CommandError: when the version exists: a version is never overwritten.
        """
        with fetch_artifact(document.artifact, folder or Path(), self.s3) as (path, missing):
            problems = missing if path is None else inspect_artifact(path, document.model_file)
            if path is None or problems:
                raise InvalidInputError(f"model {document.model_id}", problems)
            artifact = hash_artifact(path)
            for _ in range(_TRIES):
                try:
                    return self._register_once(document, artifact, registered_by)
                except VersionTakenError:
                    continue
        raise CommandError(f"Model {document.model_id} is being registered by somebody else as well. Try again.")

    def _register_once(self, document: ModelDocument, artifact: Artifact, registered_by: str) -> Registered:
        before, versions = self._read(document.model_id)
        existing = versions.get(document.version or "")
        if existing is not None:
            same = "with the same artifact" if existing.spec.artifact_sha256 == artifact.sha256 else "with another one"
            raise CommandError(
                f"Model {document.model_id} has a version {existing.spec.version} already, registered "
                f"{existing.registered_at or 'earlier'} {same}, and a version is never overwritten. "
                "Choose another --version, or leave it out to get the next free number."
            )
        version, address = self._store(document, artifact, before, versions, registered_by)
        change = CurrentChange(version.spec.version, version.registered_at, registered_by, "registered")
        model = document.model(before, change)
        self._write(self._put_version(version), self._put_model(model, before))
        return Registered(model, version, address)

    def add_version(self, document: ModelDocument, artifact: Artifact, registered_by: str) -> ModelVersion:
        """Store the artifact and write the version, and leave what is current as it is.

        Raises:
            VersionTakenError: when somebody else wrote the version meanwhile.
            ArtifactTakenError: when other bytes lie where the artifact of a named version belongs.
        """
        before, versions = self._read(document.model_id)
        if document.version in versions:
            raise VersionTakenError
        version, _ = self._store(document, artifact, before, versions, registered_by)
        try:
            self._table.meta.client.put_item(**self._put_version(version)["Put"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise VersionTakenError from error
            raise
        return version

    def make_all_current(
        self, wanted: Sequence[tuple[ModelDocument, ModelVersion]], *, changed_by: str
    ) -> Iterator[Model]:
        """Make versions that are there the current ones of their models, as many in a transaction as one takes.

        Raises:
            CommandError: when somebody else keeps changing the same models.
        """
        for start in range(0, len(wanted), _TRANSACTION_ITEMS):
            some = wanted[start : start + _TRANSACTION_ITEMS]
            for _ in range(_TRIES):
                try:
                    models = self._make_some_current(some, changed_by)
                    break
                except VersionTakenError:
                    continue
            else:
                raise CommandError(
                    f"Somebody else is changing the same models: {start:,} of {len(wanted):,} are current now. "
                    "Run the command again, and it goes on with the others."
                )
            yield from models

    def _make_some_current(self, wanted: Sequence[tuple[ModelDocument, ModelVersion]], changed_by: str) -> list[Model]:
        keys = [records.model_key(document.model_id) for document, _ in wanted]
        found = (records.read_item(Model, item) for item in self._items(keys, consistent=True))
        known = {model.model_id: model for model in found}
        now = _now()
        models: list[Model] = []
        actions: list[dict[str, Any]] = []
        for document, version in wanted:
            before = known.get(document.model_id)
            after = document.model(before, CurrentChange(version.spec.version, now, changed_by, "registered"))
            models.append(after)
            if after != before:
                actions.append(self._put_model(after, before))
        if actions:
            self._write(*actions)
        return models

    def _store(
        self,
        document: ModelDocument,
        artifact: Artifact,
        before: Model | None,
        versions: Mapping[str, ModelVersion],
        registered_by: str,
    ) -> tuple[ModelVersion, str]:
        number = _next_number(versions)
        while True:
            name = document.version or str(number)
            try:
                address = store_artifact(self.s3, self._bucket, document.model_id, name, artifact)
                break
            except ArtifactTakenError:
                # What a broken-off registration left behind takes a number, but must not take the model.
                if document.version is not None:
                    raise
                number += 1
        version = document.model_version(
            name, artifact.sha256, artifact.size, registered_at=_now(), registered_by=registered_by
        )
        return replace(version, tags=document.tags_for(before)), address

    def promote(self, model_id: str, version: str, *, changed_by: str = "", reason: str = "") -> Model:
        """Make a version the current one; nothing changes when it is that already.

        Raises:
            CommandError: when the model or the version does not exist.
        """
        return self._make_current(model_id, lambda _: version, changed_by, reason or "promoted")

    def roll_back(self, model_id: str, *, changed_by: str = "", reason: str = "") -> Model:
        """Make the version current again that was current before; a second roll back undoes the first.

        Raises:
            CommandError: when the model does not exist or had one current version only.
        """

        def previous(model: Model) -> str:
            if model.previous_version is None:
                raise CommandError(
                    f"Model {model_id} has had no other current version than {model.current_version}, so there is "
                    "nothing to go back to. `fleetscore models promote` makes any version current."
                )
            return model.previous_version

        return self._make_current(model_id, previous, changed_by, reason or "rolled back")

    def _make_current(self, model_id: str, choose: Callable[[Model], str], changed_by: str, reason: str) -> Model:
        for _ in range(_TRIES):
            before, versions = self._read(model_id)
            if before is None:
                raise CommandError(no_current(model_id) if versions else no_model(model_id))
            version = choose(before)
            if version not in versions:
                raise CommandError(no_version(model_id, version, versions))
            check_decided(versions[version])
            after = before.with_current(CurrentChange(version, _now(), changed_by, reason))
            if after is before:
                return before
            there = {"Key": records.version_key(model_id, version), "ConditionExpression": _PRESENT}
            try:
                check = {"ConditionCheck": {"TableName": self._table.name, **there}}
                self._write(check, self._put_model(after, before))
            except VersionTakenError:
                continue
            return after
        raise CommandError(f"Model {model_id} is being changed by somebody else as well. Try again.")

    def _put_version(self, version: ModelVersion) -> dict[str, Any]:
        put = {"Item": records.version_item(version), "ConditionExpression": _ABSENT}
        return {"Put": {"TableName": self._table.name, **put}}

    def _put_model(self, model: Model, before: Model | None) -> dict[str, Any]:
        # The model's place is named in the condition: nobody's change in between is lost.
        unchanged: dict[str, Any] = {"ConditionExpression": _ABSENT}
        if before is not None:
            unchanged = {
                "ConditionExpression": "updated_at = :seen AND current_version = :current",
                "ExpressionAttributeValues": {":seen": before.updated_at, ":current": before.current_version},
            }
        return {"Put": {"TableName": self._table.name, "Item": records.model_item(model), **unchanged}}

    def _write(self, *actions: dict[str, Any]) -> None:
        try:
            self._table.meta.client.transact_write_items(TransactItems=list(actions))
        except ClientError as error:
            reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
            if "ConditionalCheckFailed" in reasons or "TransactionConflict" in reasons:
                raise VersionTakenError from error
            raise

    def models(self) -> list[tuple[Model, ModelVersion | None]]:
        """Every model by id with its current version."""
        condition = Key(records.INDEX_PARTITION_KEY).eq(records.MODELS_COLLECTION)
        items = query(self._table, IndexName=records.INDEX_NAME, KeyConditionExpression=condition)
        models = [records.read_item(Model, item) for item in items]
        keys = [records.version_key(model.model_id, model.current_version) for model in models]
        found = (records.read_item(ModelVersion, item) for item in self._items(keys))
        versions = {(version.spec.model_id, version.spec.version): version for version in found}
        return [(model, versions.get((model.model_id, model.current_version))) for model in models]

    def show(self, model_id: str, version: str | None = None) -> tuple[Model | None, list[ModelVersion]]:
        """A model and its versions, oldest first, or the one version that was asked for.

        There is no model while versions of it were trained and none was promoted.

        Raises:
            CommandError: when the model or the version does not exist.
        """
        model, versions = self._read(model_id)
        if model is None and not versions:
            raise CommandError(no_model(model_id))
        if version is None:
            return model, sorted(versions.values(), key=lambda known: (known.registered_at, known.spec.version))
        if version not in versions:
            raise CommandError(no_version(model_id, version, versions))
        return model, [versions[version]]

    @contextmanager
    def artifact(self, version: ModelVersion) -> Iterator[Path]:
        """A version's artifact as a local file, for the time of the context.

        Raises:
            CommandError: when it is not in the models bucket.
        """
        address = layout.s3_uri(self._bucket, layout.artifact_key(version.spec.model_id, version.spec.version))
        with fetch_artifact(address, Path(), self.s3) as (path, _):
            if path is None:
                raise CommandError(f"There is no artifact at {address}. Register the model again.")
            yield path

    def versions(self, model_id: str) -> dict[str, ModelVersion]:
        """Every version of a model by name; none of a model that does not exist."""
        return self._read(model_id)[1]

    def place_problem(self, document: ModelDocument, artifact: Artifact) -> str:
        """Why the artifact cannot be stored as the version that the document names; empty when it can."""
        try:
            check_place(self.s3, self._bucket, document.model_id, document.version or "1", artifact)
        except ArtifactTakenError as error:
            return str(error)
        return ""

    def set_enabled(self, model_id: str, enabled: bool) -> Model:
        """Let executions score the model, or leave it out of them.

        Raises:
            CommandError: when the model does not exist.
        """
        try:
            answer = self._table.update_item(
                Key=records.model_key(model_id),
                UpdateExpression="SET enabled = :enabled, updated_at = :now",
                ConditionExpression=Attr(records.PARTITION_KEY).exists(),
                ExpressionAttributeValues={":enabled": enabled, ":now": _now()},
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise CommandError(no_model(model_id)) from error
            raise
        return records.read_item(Model, answer["Attributes"])

    def _read(self, model_id: str) -> tuple[Model | None, dict[str, ModelVersion]]:
        condition = Key(records.PARTITION_KEY).eq(records.model_key(model_id)[records.PARTITION_KEY])
        model: Model | None = None
        versions: dict[str, ModelVersion] = {}
        for item in query(self._table, KeyConditionExpression=condition, ConsistentRead=True):
            if item[records.SORT_KEY] == records.MODEL_SORT_KEY:
                model = records.read_item(Model, item)
            elif str(item[records.SORT_KEY]).startswith(records.VERSION_SORT_PREFIX):
                version = records.read_item(ModelVersion, item)
                versions[version.spec.version] = version
        return model, versions

    def _items(self, keys: Sequence[dict[str, str]], *, consistent: bool = False) -> Iterator[dict[str, Any]]:
        name = self._table.name
        for start in range(0, len(keys), _BATCH_GET_ITEMS):
            some = {"Keys": list(keys[start : start + _BATCH_GET_ITEMS]), "ConsistentRead": consistent}
            wanted: Mapping[str, Any] = {name: some}
            while wanted:
                answer = self._table.meta.client.batch_get_item(RequestItems=wanted)
                yield from answer["Responses"].get(name, [])
                wanted = answer.get("UnprocessedKeys", {})


def query(table: Any, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Every item of a DynamoDB query, page after page."""
    # By the client, which threads may share, as they may not share a resource.
    while True:
        page = table.meta.client.query(TableName=table.name, **arguments)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def caller(connection: Connection) -> str:
    """Who registers: the ARN of the credentials. GetCallerIdentity needs no permission."""
    return str(connection.client("sts").get_caller_identity()["Arn"])


def _next_number(versions: Mapping[str, ModelVersion]) -> int:
    return max((int(name) for name in versions if name.isascii() and name.isdigit()), default=0) + 1


def no_model(model_id: str) -> str:
    return f"There is no model {model_id!r}. `fleetscore models list` shows every model."


def no_current(model_id: str) -> str:
    return (
        f"Model {model_id!r} has no current version: versions were trained, and none was promoted. "
        f"`fleetscore models show {model_id}` shows them, `fleetscore models approve` makes one current."
    )


def check_decided(version: ModelVersion) -> None:
    """Refuse to make a version current that was trained and not promoted: that is a decision with a reason.

    Raises:
        CommandError: with what to do instead.
    """
    decision, model_id, name = version.decision, version.spec.model_id, version.spec.version
    if decision is not None and decision.state is not VersionState.PROMOTED:
        raise CommandError(
            f"Version {name} of model {model_id} is {decision.state.value} ({decision.reason}). "
            f"`fleetscore models approve {model_id} {name}` makes it current."
        )


def no_version(model_id: str, version: str, versions: Iterable[str]) -> str:
    return f"Model {model_id} has no version {version}. It has: {', '.join(sorted(versions)) or 'none'}."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
