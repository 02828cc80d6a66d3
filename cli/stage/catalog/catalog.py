"""The catalog of models: registering versions, and choosing the one that executions use."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from botocore.exceptions import ClientError

from cli.artifact_check.check import check_artifact
from cli.documents.artifact import Artifact, fetch_artifact, hash_artifact
from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.stage.catalog.artifact_store import (
    ArtifactTakenError,
    StoredArtifact,
    check_key_is_free,
    remove_artifact,
    store_artifact,
)
from cli.stage.catalog.catalog_table import (
    MAX_TRIES,
    CatalogTable,
    KnownModel,
    VersionTakenError,
    check_version_size,
    error_status,
    now,
)
from cli.stage.catalog.small_uploads import SmallUploads
from cli.stage.catalog.superseded import SetBackError, find_set_back
from cli.stage.catalog.version_writes import NewVersion, write_versions
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract import layout
from contract.catalog.model_fields import MembershipFields
from contract.catalog.model_spec import assumptions
from contract.catalog.models import CurrentChange, Model, ModelVersion
from contract.problems import InvalidInputError, Problem
from contract.status import VersionState

_SERVER_ERROR = 500
"""Lowest HTTP status after which a write may or may not have happened."""


@dataclass(frozen=True)
class Registered:
    """A registered model, its new version, the address of the artifact, and notes."""

    model: Model
    version: ModelVersion
    artifact_uri: str
    notes: tuple[str, ...] = ()


class Catalog:
    """The models of one deployment."""

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._table = CatalogTable(connection.resource("dynamodb").Table(deployment.table_name), connection)
        self.s3 = connection.bulk_client("s3")
        self._uploads = SmallUploads(self.s3, connection)
        self._bucket = deployment.models_bucket

    # ---- reading ---------------------------------------------------------------------------------

    def models(self) -> list[tuple[Model, ModelVersion | None]]:
        """Return every model by id, with its current version; None if that does not exist."""
        models = self._table.all_models()
        versions = self._table.versions([(model.model_id, model.current_version) for model in models])
        return [(model, versions.get((model.model_id, model.current_version))) for model in models]

    def show(self, model_id: str, version: str | None = None) -> tuple[Model | None, list[ModelVersion]]:
        """Return a model and its versions, oldest first, or only the named version.

        The model is None while it only has trained versions that were not promoted.

        Raises:
            CommandError: when the model or the version does not exist.
        """
        model, versions = self._table.read(model_id)
        if model is None and not versions:
            raise CommandError(unknown_model_message(model_id))
        if version is None:
            return model, sorted(versions.values(), key=lambda known: (known.registered_at, known.spec.version))
        if version not in versions:
            raise CommandError(unknown_version_message(model_id, version, versions))
        return model, [versions[version]]

    def versions(self, model_id: str) -> Mapping[str, ModelVersion]:
        """Return every version of a model by name; empty if the model does not exist."""
        return self.read(model_id)[1]

    def read(self, model_id: str) -> tuple[Model | None, Mapping[str, ModelVersion]]:
        """Return a model, or None if it has no current version, and its versions by name."""
        return self._table.read(model_id)

    def read_with_deleted(self, model_id: str) -> KnownModel:
        """Return a model, its versions, and the names of those that were deleted."""
        return self._table.read_with_deleted(model_id)

    def read_all(self, wanted: Sequence[tuple[str, str]]) -> dict[str, KnownModel]:
        """Return many models by id, each for a version that is wanted: see `CatalogTable.read_all`."""
        return self._table.read_all(wanted)

    @contextmanager
    def artifact(self, version: ModelVersion) -> Iterator[Path]:
        """Provide a version's artifact as a local file inside the context.

        Raises:
            CommandError: when the artifact is not in the models bucket.
        """
        address = layout.s3_uri(self._bucket, layout.artifact_key(version.spec.model_id, version.spec.version))
        with fetch_artifact(address, Path(), self.s3) as (path, _):
            if path is None:
                raise CommandError(f"There is no artifact at {address}. Register the model again.")
            yield path

    # ---- registering -----------------------------------------------------------------------------

    def register(
        self,
        document: ModelDocument,
        *,
        folder: Path | None = None,
        registered_by: str = "",
        check: Callable[[Path, ModelDocument], Sequence[Problem]] = lambda path, document: (),
        allow_backwards: bool = False,
    ) -> Registered:
        """Validate and upload the artifact, write the version, and make it the model's current one.

        Version and model are written together or not at all. `check` returns further problems of
        the artifact.

        Raises:
            InvalidInputError: when the artifact is not what the document says.
            SetBackError: when the artifact is that of an older version than the current one, unless
                `allow_backwards`. Nothing is stored.
            CommandError: when the version exists: a version is never overwritten.
        """
        with fetch_artifact(document.artifact, folder or Path(), self.s3) as (path, missing):
            if path is None:
                raise InvalidInputError(f"model {document.model_id}", missing)
            checked = check_artifact(path, document)
            problems = [*self.fleet_problems([document])[0], *checked.problems]
            if problems := problems or list(check(path, checked.document)):
                raise InvalidInputError(f"model {document.model_id}", problems)
            artifact = hash_artifact(path)
            for _ in range(MAX_TRIES):
                try:
                    done = self._register_once(checked.document, artifact, registered_by, allow_backwards)
                    return replace(done, notes=(*assumptions(done.version.spec), *checked.notes))
                except VersionTakenError:
                    continue
        raise CommandError(f"Another command is registering model {document.model_id}. Try again.")

    def fleet_problems(self, documents: Sequence[MembershipFields]) -> list[list[Problem]]:
        """Return the problem of each document whose fleet does not exist: a plan would refuse its model."""
        wanted = {document.fleet for document in documents if document.fleet}
        unknown = wanted - self._table.fleet_ids(wanted) if wanted else set()
        return [[unknown_fleet_problem(document.fleet)] if document.fleet in unknown else [] for document in documents]

    def _register_once(
        self, document: ModelDocument, artifact: Artifact, registered_by: str, allow_backwards: bool
    ) -> Registered:
        known = self._table.read_with_deleted(document.model_id)
        before = known.model
        if gone := known.deleted.get(document.version or ""):
            raise CommandError(
                f"Version {gone.version} of model {document.model_id} was deleted at {gone.deleted_at}. Predictions "
                "may name it, so no other version gets its name. Choose another --version, or leave it out to get the "
                "next free number."
            )
        existing = known.versions.get(document.version or "")
        if existing is not None:
            same = "the same artifact" if existing.spec.artifact_sha256 == artifact.sha256 else "another artifact"
            raise CommandError(
                f"Model {document.model_id} already has a version {existing.spec.version}, registered "
                f"{existing.registered_at or 'earlier'} with {same}, and a version is never overwritten. "
                "Choose another --version, or leave it out to get the next free number."
            )
        set_back = find_set_back(before, list(known.versions.values()), artifact.sha256, None)
        if set_back is not None and not allow_backwards:
            raise SetBackError([set_back])
        wanted = document.model_version(
            document.version or "1",
            artifact.sha256,
            artifact.size,
            registered_by=registered_by,
            tags=document.tags_for(before),
        )
        check_version_size(wanted)
        version, stored = self.store(document, wanted, artifact, known)
        change = CurrentChange(version.spec.version, version.registered_at, registered_by, "registered")
        try:
            model = document.model(before, change)
            self._table.write(self._table.put_version(version), *self._table.put_model(model, before))
        except (ClientError, VersionTakenError, InvalidInputError) as error:
            # Any other error may hide that the version has been written.
            if not isinstance(error, ClientError) or error_status(error) < _SERVER_ERROR:
                remove_artifact(self.s3, stored)
            raise
        return Registered(model, version, stored.address)

    def storage_problem(self, document: ModelDocument, artifact: Artifact) -> str:
        """Return why the artifact cannot be stored as the document's version; empty when it can."""
        try:
            check_key_is_free(self.s3, self._bucket, document.model_id, document.version or "1", artifact)
        except ArtifactTakenError as error:
            return str(error)
        return ""

    def store(
        self, document: ModelDocument, wanted: ModelVersion, artifact: Artifact, known: KnownModel
    ) -> tuple[ModelVersion, StoredArtifact]:
        """Upload the artifact; return the wanted version with its name and time. It is not written yet.

        Raises:
            ArtifactTakenError: when another artifact is stored under the version's name.
        """
        number = _next_number([*known.versions, *known.deleted])
        while True:
            name = document.version or str(number)
            try:
                stored = store_artifact(self._uploads, self._bucket, document.model_id, name, artifact)
            except ArtifactTakenError:
                # An interrupted registration has stored an artifact with this number.
                if document.version is not None:
                    raise
                number += 1
                continue
            return replace(wanted, spec=replace(wanted.spec, version=name), registered_at=now()), stored

    # ---- choosing the current version ------------------------------------------------------------

    def promote(self, model_id: str, version: str, *, changed_by: str = "", reason: str = "") -> Model:
        """Make a version the current one; change nothing if it is current already.

        Trained versions wait for approval after a change to an earlier version. The choice of any
        other version, or of the current one, ends that.

        Raises:
            CommandError: when the model or the version does not exist.
        """
        return self._make_current(model_id, lambda _: version, changed_by, reason or "promoted")

    def roll_back(self, model_id: str, *, changed_by: str = "", reason: str = "") -> Model:
        """Restore the previous version as the current one; a second rollback undoes the first.

        Trained versions wait for approval after the first, and no longer after the second.

        Raises:
            CommandError: when the model does not exist or has no previous version.
        """

        def previous(model: Model) -> str:
            if model.previous_version is None:
                raise CommandError(
                    f"Model {model_id} has no previous version: {model.current_version} is the only one that has been "
                    "current. `fleetscore models promote` makes any version current."
                )
            return model.previous_version

        return self._make_current(model_id, previous, changed_by, reason or "rolled back", rollback=True)

    def _make_current(
        self, model_id: str, choose: Callable[[Model], str], changed_by: str, reason: str, *, rollback: bool = False
    ) -> Model:
        for _ in range(MAX_TRIES):
            before, versions = self._table.read(model_id)
            if before is None:
                raise CommandError(
                    no_current_version_message(model_id) if versions else unknown_model_message(model_id)
                )
            version = choose(before)
            if version not in versions:
                raise CommandError(unknown_version_message(model_id, version, versions))
            check_decided(versions[version])
            change = CurrentChange(version, now(), changed_by, reason)
            back = is_earlier(version, before.current_version, versions)
            if rollback:
                # A second rollback goes forward again.
                back = not is_earlier(before.current_version, version, versions)
            after = before.set_back_by(change) if back else before.chosen_by(change)
            if after is before:
                return before
            try:
                self._table.write(self._table.version_exists(model_id, version), *self._table.put_model(after, before))
            except VersionTakenError:
                continue
            return after
        raise CommandError(f"Another command is changing model {model_id}. Try again.")

    def write_all(self, wanted: Sequence[NewVersion], *, changed_by: str) -> list[Model]:
        """Write versions whose artifacts are stored, and make them current: see `write_versions`."""
        return write_versions(self._table, wanted, changed_by)

    def set_enabled(self, model_id: str, enabled: bool) -> Model:
        """Include a model in executions, or exclude it.

        Raises:
            CommandError: when the model does not exist.
        """
        model = self._table.set_enabled(model_id, enabled)
        if model is None:
            raise CommandError(unknown_model_message(model_id))
        return model


def caller(connection: Connection) -> str:
    """Return the ARN of the credentials. GetCallerIdentity needs no permission."""
    return str(connection.client("sts").get_caller_identity()["Arn"])


def check_decided(version: ModelVersion) -> None:
    """Check that a trained version was promoted before. Otherwise `approve` must decide.

    Raises:
        CommandError: when the version was not promoted before.
    """
    decision, model_id, name = version.decision, version.spec.model_id, version.spec.version
    if decision is not None and decision.state is not VersionState.PROMOTED:
        raise CommandError(
            f"Version {name} of model {model_id} is {decision.state.value} ({decision.reason}). "
            f"`fleetscore models approve {model_id} {name}` makes it current."
        )


def is_earlier(version: str, other: str, versions: Mapping[str, ModelVersion]) -> bool:
    """Return whether a version was registered before another one; False if one was deleted."""
    both = version in versions and other in versions
    return both and versions[version].registered_at < versions[other].registered_at


def unknown_model_message(model_id: str) -> str:
    return f"There is no model {model_id!r}. `fleetscore models list` shows every model."


def no_current_version_message(model_id: str) -> str:
    return (
        f"Model {model_id!r} has no current version: versions were trained, and none was promoted. "
        f"`fleetscore models show {model_id}` shows them, `fleetscore models approve` makes one current."
    )


def unknown_version_message(model_id: str, version: str, versions: Iterable[str]) -> str:
    return f"Model {model_id} has no version {version}. It has: {', '.join(sorted(versions)) or 'none'}."


def unknown_fleet_problem(fleet_id: str) -> Problem:
    remedy = f"Create it first: `fleetscore fleets set {fleet_id} --dataset … --route-by …`."
    return Problem("fleet", fleet_id, "the id of a fleet", remedy)


def _next_number(names: Iterable[str]) -> int:
    """Return the number after the highest one that a version has or had."""
    return max((int(name) for name in names if name.isascii() and name.isdigit()), default=0) + 1
