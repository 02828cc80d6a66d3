"""Views of a backfill: what is scored of each dataset, and what the command did."""

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType

from cli.stage.executions.backfill import Look, Outcome, SlotResult, State
from cli.views.tables import WholeTable, counted
from contract import codec

_LISTED_MODELS = 3


def looks_json(looks: Sequence[Look]) -> list[dict[str, Any]]:
    """Return what is scored of each dataset as JSON."""
    return [
        {
            "dataset": look.slot.dataset,
            "execution_id": look.slot.execution_id,
            "state": look.state.value,
            "expected": look.expected,
            "scored": look.scored,
            "unscored": look.expected - look.scored,
            "scorers": [codec.to_value(item) for item in look.check.scored_before],
            "reason": look.reason,
        }
        for look in looks
    ]


def looks_view(looks: Sequence[Look]) -> list[RenderableType]:
    """Return a table of the datasets, and how many are in each state."""
    rows = [(look.slot.dataset, look.state.value, _share(look.scored, look.expected), _rest(look)) for look in looks]
    counts = [(state, sum(look.state is state for look in looks)) for state in State]
    summary = ", ".join(f"{count:,} {state.value.lower()}" for state, count in counts if count)
    return [
        WholeTable(("dataset", "state", "scored", "to score"), rows),
        f"{counted(len(looks), 'dataset')}: {summary}. Nothing was started.",
    ]


def _share(scored: int, expected: int) -> str:
    return f"{scored:,} of {expected:,}" if expected else ""


def _rest(look: Look) -> str:
    """Return which models and fleets have something to score, or why nothing can be."""
    if look.reason:
        return look.reason
    rest = [f"{item.id} ({item.objects - item.scored:,})" for item in look.check.scored_before if item in look.missing]
    more = len(rest) - _LISTED_MODELS
    return ", ".join(rest[:_LISTED_MODELS]) + (f" and {more:,} more" if more > 0 else "")


def results_json(results: Sequence[SlotResult]) -> list[dict[str, Any]]:
    """Return the results as JSON."""
    return [codec.to_value(result) for result in results]


def results_view(results: Sequence[SlotResult]) -> list[RenderableType]:
    """Return a table of the results, and a sentence that says what is still unscored."""
    rows = [
        (
            result.dataset,
            result.outcome.value,
            f"{result.kept:,}",
            f"{result.scored:,}",
            f"{result.unscored:,}",
            ", ".join(result.executions),
        )
        for result in results
    ]
    counts = [(outcome, sum(result.outcome is outcome for result in results)) for outcome in Outcome]
    summary = ", ".join(f"{count:,} {outcome.value.lower()}" for outcome, count in counts if count)
    text = f"{counted(len(results), 'dataset')}: {summary}."
    if any(result.outcome is Outcome.FAILED for result in results):
        text += " Run the same command again to score what is missing."
    return [WholeTable(("dataset", "outcome", "kept", "scored", "unscored", "executions"), rows), text]
