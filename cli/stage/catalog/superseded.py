"""Find registrations that would set a model back to a version that others have replaced."""

from collections.abc import Sequence
from dataclasses import dataclass

from cli.failures import CommandError
from contract.catalog.models import Model, ModelVersion

_SHOWN = 30
"""Largest number of models in a message."""


@dataclass(frozen=True)
class SetBack:
    """A model that a registration would set back."""

    model_id: str
    current_version: str
    version: str
    """The version that has the same artifact."""
    same_record: bool
    """Whether the version also has the same options, and would become current as it is."""
    why_current: str
    """Reason in the model's history why another version is current."""


class SetBackError(CommandError):
    """Models would be set back, and nobody has allowed it. Nothing was registered."""

    def __init__(self, models: Sequence[SetBack]) -> None:
        self.models = tuple(models)
        lines = [_line(model) for model in models[:_SHOWN]]
        if len(models) > _SHOWN:
            lines.append(f"and {len(models) - _SHOWN:,} more, which --json lists")
        counted = "1 model" if len(models) == 1 else f"{len(models):,} models"
        super().__init__(
            "\n  ".join([f"{counted} would be set back, so nothing was registered:", *lines])
            + "\nIf the file is old, use the newest one. If they are to be set back, add --allow-backwards."
        )


def _line(model: SetBack) -> str:
    equal = "equals" if model.same_record else "has the artifact of"
    why = f" ({model.why_current})" if model.why_current else ""
    return f"{model.model_id}: {equal} version {model.version}, but version {model.current_version} is current{why}"


def find_set_back(
    model: Model | None, versions: Sequence[ModelVersion], sha256: str, same: ModelVersion | None
) -> SetBack | None:
    """Return how a registration would set a model back; None if it does not.

    A registration sets a model back if the version that it finds in the catalog, `same`, is not the
    current one: somebody has registered, promoted or restored another one since. A new version sets
    it back if its artifact is that of a version older than the current one.
    """
    current = next((known for known in versions if model and known.spec.version == model.current_version), None)
    if model is None or current is None or (current.spec.artifact_sha256 == sha256 and same is None):
        return None
    if same is not None and same.spec.version == current.spec.version:
        return None
    older = [
        known
        for known in versions
        if known.spec.artifact_sha256 == sha256 and known.registered_at < current.registered_at
    ]
    found = same or max(older, key=lambda known: known.registered_at, default=None)
    if found is None:
        return None
    why = model.history[-1].reason if model.history else ""
    return SetBack(model.model_id, model.current_version, found.spec.version, same is not None, why)
