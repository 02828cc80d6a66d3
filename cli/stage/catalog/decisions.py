"""Decisions of people about trained versions: approve or reject them."""

from collections.abc import Callable
from dataclasses import replace

from cli.failures import CommandError
from cli.stage.catalog.catalog import unknown_model_message, unknown_version_message
from cli.stage.catalog.catalog_table import MAX_TRIES, CatalogTable, VersionTakenError, now
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from contract.catalog.models import CurrentChange, Model, ModelVersion, VersionDecision
from contract.status import VersionState

_Change = Callable[[Model | None, ModelVersion], tuple[Model | None, ModelVersion]]


class Decisions:
    """The decisions about one deployment's versions.

    Each is made once, even if others change the model meanwhile.
    """

    def __init__(self, connection: Connection, deployment: Deployment) -> None:
        self._table = CatalogTable(connection.resource("dynamodb").Table(deployment.table_name), connection)

    def approve(
        self, model_id: str, version: str, *, changed_by: str = "", reason: str = ""
    ) -> tuple[Model | None, ModelVersion]:
        """Make a trained version the current one. A rejected version needs a reason.

        Raises:
            CommandError: when the version does not exist, was not trained, was promoted already, or
                was rejected and no reason is given.
        """

        def change(model: Model | None, found: ModelVersion) -> tuple[Model | None, ModelVersion]:
            decision = _decision(model_id, found)
            if decision.state is VersionState.PROMOTED:
                raise CommandError(
                    f"Version {version} of model {model_id} was promoted already ({decision.reason}). "
                    f"`fleetscore models promote {model_id} {version}` makes it current again."
                )
            if decision.state is VersionState.REJECTED and not reason:
                raise CommandError(
                    f"Version {version} of model {model_id} was rejected ({decision.reason}). "
                    "Give the reason for making it current with --reason."
                )
            decided_at = now()
            change = CurrentChange(version, decided_at, changed_by, reason or "approved")
            after = (
                Model(model_id, version, tags=found.tags, updated_at=decided_at, history=(change,))
                if model is None
                else model.chosen_by(change)
            )
            promoted = VersionDecision(VersionState.PROMOTED, change.reason, decided_at, changed_by)
            return after, replace(found, decision=promoted)

        return self._decide(model_id, version, change)

    def reject(
        self, model_id: str, version: str, *, changed_by: str = "", reason: str = ""
    ) -> tuple[Model | None, ModelVersion]:
        """Reject a version that waits for approval.

        Raises:
            CommandError: when the version does not exist or does not wait for approval.
        """

        def change(model: Model | None, found: ModelVersion) -> tuple[Model | None, ModelVersion]:
            decision = _decision(model_id, found)
            if decision.state is not VersionState.PENDING_APPROVAL:
                raise CommandError(
                    f"Version {version} of model {model_id} is {decision.state.value} ({decision.reason}), "
                    "so no decision is pending. `fleetscore models rollback` restores the previous version."
                )
            rejected = VersionDecision(VersionState.REJECTED, reason or "rejected", now(), changed_by)
            return model, replace(found, decision=rejected)

        return self._decide(model_id, version, change)

    def _decide(self, model_id: str, version: str, change: _Change) -> tuple[Model | None, ModelVersion]:
        for _ in range(MAX_TRIES):
            before, versions = self._table.read(model_id)
            if version not in versions:
                raise CommandError(
                    unknown_version_message(model_id, version, versions)
                    if versions
                    else unknown_model_message(model_id)
                )
            after, decided = change(before, versions[version])
            writes = [self._table.put_decided_version(decided, versions[version])]
            if after is not None and after != before:
                writes += self._table.put_model(after, before)
            try:
                self._table.write(*writes)
            except VersionTakenError:
                continue
            return after, decided
        raise CommandError(f"Another command is changing model {model_id}. Try again.")


def _decision(model_id: str, version: ModelVersion) -> VersionDecision:
    if version.decision is None:
        name = version.spec.version
        raise CommandError(
            f"Version {name} of model {model_id} was registered and not trained, so there is nothing to decide. "
            f"`fleetscore models promote {model_id} {name}` makes it current."
        )
    return version.decision
