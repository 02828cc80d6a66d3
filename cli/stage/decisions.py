"""Decisions of people about versions that were trained."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cli.failures import CommandError
from cli.stage.catalog import Catalog, VersionTakenError, no_model, no_version
from contract.catalog.models import CurrentChange, Model, ModelVersion, VersionDecision
from contract.status import VersionState
from contract.table import records

_TRIES = 5
_Change = Callable[[Model | None, ModelVersion], tuple[Model | None, ModelVersion]]


class Decisions(Catalog):
    """Approves and rejects, each once, whatever others do to the model at the same time."""

    def approve(
        self, model_id: str, version: str, *, changed_by: str = "", reason: str = ""
    ) -> tuple[Model | None, ModelVersion]:
        """Make a version that was trained the current one. One that a rule or a person refused needs a reason.

        Raises:
            CommandError: when there is nothing to approve.
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
                    "Say with --reason why it is to be current all the same."
                )
            now = _now()
            change = CurrentChange(version, now, changed_by, reason or "approved")
            after = (
                Model(model_id, version, tags=found.tags, updated_at=now, history=(change,))
                if model is None
                else model.with_current(change)
            )
            said = VersionDecision(VersionState.PROMOTED, change.reason, now, changed_by)
            return after, replace(found, decision=said)

        return self._decide(model_id, version, change)

    def reject(
        self, model_id: str, version: str, *, changed_by: str = "", reason: str = ""
    ) -> tuple[Model | None, ModelVersion]:
        """Refuse a version that waits for approval.

        Raises:
            CommandError: when it does not wait.
        """

        def change(model: Model | None, found: ModelVersion) -> tuple[Model | None, ModelVersion]:
            decision = _decision(model_id, found)
            if decision.state is not VersionState.PENDING_APPROVAL:
                raise CommandError(
                    f"Version {version} of model {model_id} is {decision.state.value} ({decision.reason}), "
                    "so nobody waits for a decision. `fleetscore models rollback` takes a current version back."
                )
            said = VersionDecision(VersionState.REJECTED, reason or "rejected", _now(), changed_by)
            return model, replace(found, decision=said)

        return self._decide(model_id, version, change)

    def _decide(self, model_id: str, version: str, change: _Change) -> tuple[Model | None, ModelVersion]:
        for _ in range(_TRIES):
            before, versions = self._read(model_id)
            if version not in versions:
                raise CommandError(no_version(model_id, version, versions) if versions else no_model(model_id))
            after, decided = change(before, versions[version])
            writes = [self._put_decided(decided, versions[version])]
            if after is not None and after != before:
                writes.append(self._put_model(after, before))
            try:
                self._write(*writes)
            except VersionTakenError:
                continue
            return after, decided
        raise CommandError(f"Model {model_id} is being changed by somebody else as well. Try again.")

    def _put_decided(self, decided: ModelVersion, before: ModelVersion) -> dict[str, Any]:
        assert before.decision is not None  # noqa: S101 - `change` refuses a version that nobody decides about
        unchanged = {
            "ConditionExpression": "decision.#state = :seen",
            "ExpressionAttributeNames": {"#state": "state"},
            "ExpressionAttributeValues": {":seen": before.decision.state.value},
        }
        return {"Put": {"TableName": self._table.name, "Item": records.version_item(decided), **unchanged}}


def _decision(model_id: str, version: ModelVersion) -> VersionDecision:
    if version.decision is None:
        name = version.spec.version
        raise CommandError(
            f"Version {name} of model {model_id} was registered and not trained, so there is nothing to decide. "
            f"`fleetscore models promote {model_id} {name}` makes it current."
        )
    return version.decision


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
