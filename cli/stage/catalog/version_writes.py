"""Writes of many versions whose artifacts are stored, in few transactions."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.stage.catalog.catalog_table import (
    MAX_TRIES,
    TRANSACTION_ITEMS,
    CatalogTable,
    VersionTakenError,
    fits_transaction,
    now,
    put_size,
)
from cli.stage.catalog.stoppable_threads import check_stop, in_threads
from contract.catalog.models import CurrentChange, Model, ModelVersion

_ACTIONS_PER_MODEL = 3
"""Actions that a new model takes: its version, itself and its id in the list."""
_WRITERS = 4
"""Transactions that are written concurrently. All add to the list of ids, which is one partition."""


@dataclass(frozen=True)
class NewVersion:
    """A version that becomes current."""

    document: ModelDocument
    version: ModelVersion
    is_new: bool
    """Whether its record is not written yet."""
    before: Model | None = None
    """The model that the caller has seen; None if no version was current."""


def write_versions(table: CatalogTable, wanted: Sequence[NewVersion], changed_by: str) -> list[Model]:
    """Write the versions and make them current; return their models in the same order.

    A version is written together with its model or not at all.

    Raises:
        CommandError: when concurrent changes of the same models do not stop, a new version exists, an old one
            was deleted, or a model has another current version than the caller has seen.
    """
    size = TRANSACTION_ITEMS // _ACTIONS_PER_MODEL
    parts = [wanted[start : start + size] for start in range(0, len(wanted), size)]
    written: dict[str, Model] = {}

    def write(part: Sequence[NewVersion], stop: threading.Event) -> None:
        done = 0
        while done < len(part):
            check_stop(stop)
            models = _write_first(table, part[done:], changed_by)
            written.update((model.model_id, model) for model in models)
            done += len(models)

    try:
        for _ in in_threads(write, parts, _WRITERS):
            pass
    except VersionTakenError:
        raise CommandError(
            f"Another command is changing the same models: {len(written):,} of {len(wanted):,} are registered now. "
            "Run the command again to continue with the others."
        ) from None
    return [written[item.document.model_id] for item in wanted]


def _write_first(table: CatalogTable, wanted: Sequence[NewVersion], changed_by: str) -> list[Model]:
    """Write as many of the first versions as one transaction holds; return their models.

    Raises:
        VersionTakenError: when others keep changing the models.
    """
    # The model of a new version is written only if it is as the caller has seen it. What replaces it may be a
    # version that exists, and then nothing may be left to write: such a model is read now.
    seen = {item.document.model_id: item.before for item in wanted if item.is_new}
    known = {**seen, **table.models([item.document.model_id for item in wanted if not item.is_new])}
    for _ in range(MAX_TRIES - 1):
        try:
            return _write_batch(table, wanted, known, changed_by)
        except VersionTakenError:
            known = {**table.models([item.document.model_id for item in wanted])}
    return _write_batch(table, wanted, known, changed_by)


def _write_batch(
    table: CatalogTable, wanted: Sequence[NewVersion], known: Mapping[str, Model | None], changed_by: str
) -> list[Model]:
    changed_at = now()
    models: list[Model] = []
    batch: list[dict[str, Any]] = []
    size = 0
    for item in wanted:
        before = known.get(item.document.model_id)
        change = CurrentChange(item.version.spec.version, changed_at, changed_by, "registered")
        after = item.document.model(before, change)
        actions = [table.put_version(item.version)] if item.is_new else []
        if after != before:
            if _is_overtaken(item, before):
                if batch:
                    break
                raise CommandError(_overtaken_message(item, before))
            if not item.is_new:
                # Otherwise a version that was deleted meanwhile would become current.
                actions.append(table.version_exists(after.model_id, change.version))
            actions += table.put_model(after, before)
        size += put_size(actions)
        if not fits_transaction(len(batch) + len(actions), size):
            break
        batch += actions
        models.append(after)
    if batch:
        table.write(*batch)
    return models


def _is_overtaken(item: NewVersion, before: Model | None) -> bool:
    """Return whether the model has another current version than the caller has seen, or was deleted since.

    What would be set back was decided by the version that the caller has seen.
    """
    seen = item.before.current_version if item.before is not None else ""
    found = before.current_version if before is not None else ""
    return found not in (item.version.spec.version, seen)


def _overtaken_message(item: NewVersion, before: Model | None) -> str:
    version = item.version.spec.version
    if before is None:
        return (
            f"Model {item.document.model_id} was deleted while the registration was running, so version {version} "
            "was not made current. Run the command again to register it as a new model."
        )
    return (
        f"Version {before.current_version} of model {before.model_id} has become current while the registration was "
        f"running, so version {version} was not made current. Run the command again: it says what would be set back."
    )
