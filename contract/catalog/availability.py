"""Whether a model that an execution has scored can be scored again, and what to do if not."""

from collections.abc import Mapping

from contract.catalog.models import Model, ModelVersion
from contract.problems import Problem

_LISTED = 3
"""Most models that a problem lists."""


def why_unavailable(model: Model | None, version: ModelVersion | None) -> str:
    """Return why a model cannot be scored as one of no fleet; empty if it can.

    `version` is its current version. Both are None if they do not exist.
    """
    if model is None:
        return "deleted"
    if not model.enabled:
        return "disabled"
    if version is None:
        return f"without its current version {model.current_version!r}"
    return f"of the fleet {version.fleet!r} now" if version.fleet else ""


def unavailable_model(field: str, model_id: str, why: str) -> Problem:
    """Return the problem of a request that names an unavailable model."""
    return Problem(
        field, f"{model_id}, which is {why}", "an enabled model", f"{_remedy(model_id, why)}, or leave it out."
    )


def unavailable_fleet(field: str, fleet_id: str, why: str) -> Problem:
    """Return the problem of a request that names a fleet that is deleted or has no enabled models."""
    remedy = f"`fleetscore fleets show {fleet_id}` lists its models: enable one with `fleetscore models enable MODEL`."
    if why == "deleted":
        remedy = f"Create it again with `fleetscore fleets set {fleet_id}`, or leave it out."
    return Problem(field, f"{fleet_id}, which is {why}", "a fleet with enabled models", remedy)


def nothing_available(models: Mapping[str, str], fleets: Mapping[str, str]) -> Problem:
    """Return the problem of a request for which no model is left.

    `models` and `fleets` say by id why each is not.
    """
    reasons = [f"{name} ({why})" for name, why in models.items()]
    reasons += [f"fleet {name} ({why})" for name, why in fleets.items()]
    listed = ", ".join(reasons[:_LISTED]) + (f" and {len(reasons) - _LISTED:,} more" if len(reasons) > _LISTED else "")
    found = f"none that can be scored: {listed}" if reasons else "none"
    disabled = next((name for name, why in models.items() if why == "disabled"), "")
    first = next(iter(models), "")
    remedy = "Enable models with `fleetscore models enable MODEL`"
    if disabled or first:
        remedy = _remedy(disabled or first, models[disabled or first])
    return Problem(
        "models", found, "at least one enabled model of the resumed execution", f"{remedy}, or start a new execution."
    )


def _remedy(model_id: str, why: str) -> str:
    if why == "disabled":
        return f"Enable it with `fleetscore models enable {model_id}`"
    if why == "deleted":
        return f"Register it again with `fleetscore models register {model_id}`"
    return f"Look at it with `fleetscore models show {model_id}`"
