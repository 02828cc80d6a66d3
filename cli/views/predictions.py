"""Complete predictions as a table for people and as JSON values for programs."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from cli.stage.predictions.pointers import FoundPredictions
from cli.views.tables import add_row, plain_json, plain_table, plain_text, shown_time
from contract.table.upload_records import UploadWindow

_STYLES = {"latest": "green", "complete": "", "part": "cyan", "expired": "red"}
_SHOWN_JOBS = 5


def predictions_table(found: Sequence[FoundPredictions]) -> Table:
    """Return a table with a line per model or fleet."""
    table = plain_table("dataset", "model", "version", "execution", "rows", "planned", "state", right=("rows",))
    for item in found:
        pointer = item.pointer
        add_row(
            table,
            pointer.dataset,
            f"{pointer.model_id} (fleet)" if pointer.fleet else pointer.model_id,
            pointer.model_version,
            pointer.execution_id,
            f"{pointer.rows_scored // pointer.models_in_job:,}",
            shown_time(pointer.planned_at),
            plain_text(item.state, style=_STYLES[item.state]),
        )
    return table


def location_lines(found: Sequence[FoundPredictions]) -> list[str]:
    """Return where the predictions of one model are."""
    return [uri for item in found for uri in item.pointer.predictions_uris]


def windows_table(windows: Sequence[UploadWindow]) -> Table:
    """Return a table of upload windows, each with its execution."""
    table = plain_table("window", "execution", "objects", "closed", right=("window", "objects"))
    for window in windows:
        add_row(
            table, str(window.window), window.execution_id, f"{window.object_count:,}", shown_time(window.closes_at)
        )
    return table


def incomplete_line(jobs: Sequence[str], execution: str) -> str:
    """Return the jobs of an execution that have no complete predictions."""
    more = f" and {len(jobs) - _SHOWN_JOBS:,} more" if len(jobs) > _SHOWN_JOBS else ""
    names = ", ".join(jobs[:_SHOWN_JOBS])
    return f"Not complete: {names}{more}. `fleetscore status {execution}` says why."


def predictions_json(
    found: Sequence[FoundPredictions], windows: Sequence[UploadWindow], incomplete: Sequence[str]
) -> dict[str, Any]:
    """Return predictions as one JSON value."""
    return {
        "predictions": [{**plain_json(item.pointer), "state": item.state} for item in found],
        "upload_windows": [
            {"window": item.window, "execution_id": item.execution_id, "object_count": item.object_count}
            for item in windows
        ],
        "incomplete_jobs": list(incomplete),
    }
