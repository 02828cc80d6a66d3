"""Estimates as tables for people and as JSON values for programs."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType

from cli.stage.planning.estimates import StageEstimates
from cli.views.tables import add_row, counted, exact_duration, plain_table, size_text
from contract.planner.estimates import Estimate

_ANY_TYPE = "any type"
_BAND = ("10th pct", "90th pct")


def estimates_json(found: StageEstimates) -> dict[str, Any]:
    """Return estimates as JSON; the band is the 10th and the 90th percentile."""
    return {
        "instance_types": [
            {
                "instance_type": each.instance_type,
                "startup_seconds": _figures(each.startup_seconds),
                "download_bytes_per_second": _figures(each.download_bytes_per_second),
            }
            for each in found.types
        ],
        "upload_bytes_per_second": _figures(found.upload_bytes_per_second),
        "models": [
            {
                "model_id": each.model_id,
                "instance_type": each.instance_type,
                "rows_per_second": _figures(each.rows_per_second),
                "source": each.source,
            }
            for each in found.models
        ],
        "models_without_samples": found.unmeasured,
    }


def estimates_view(found: StageEstimates) -> Iterator[RenderableType]:
    """Yield the tables of instance types and models."""
    types = plain_table("instance type", "start-up", *_BAND, "samples", "source", "download", right=("samples",))
    for kind in found.types:
        startup = kind.startup_seconds
        source = "measured" if startup.count else "default"
        times = map(exact_duration, (startup.value, startup.low, startup.high))
        download = _transfer_text(kind.download_bytes_per_second)
        add_row(types, kind.instance_type or _ANY_TYPE, *times, f"{startup.count:,}", source, download)
    yield types
    yield f"Upload: {_transfer_text(found.upload_bytes_per_second)} per instance."
    yield ""
    if found.models:
        right = ("rows/s per worker", *_BAND, "samples")
        models = plain_table("model", "instance type", "rows/s per worker", *_BAND, "samples", "source", right=right)
        for each in found.models:
            speed = each.rows_per_second
            rates = map(_rate_text, (speed.value, speed.low, speed.high))
            add_row(models, each.model_id, each.instance_type or _ANY_TYPE, *rates, f"{speed.count:,}", each.source)
        yield models
    if found.unmeasured:
        readers = "model or fleet" if found.unmeasured == 1 else "models or fleets"
        yield f"Not measured: {found.unmeasured:,} {readers}. --model ID shows what is assumed of one."
    elif not found.models:
        yield "No models. Register one with `fleetscore models register`."


def _transfer_text(rate: Estimate) -> str:
    source = counted(rate.count, "sample") if rate.count else "default"
    return f"{size_text(rate.value)}/s ({source})"


def _rate_text(rate: float) -> str:
    """Return a rate with three digits.

    >>> _rate_text(123_456.0), _rate_text(0.1234)
    ('123,000', '0.123')
    """
    return f"{float(f'{rate:.3g}'):,g}" if rate < 1_000 else f"{float(f'{rate:.3g}'):,.0f}"


def _figures(estimate: Estimate) -> dict[str, float]:
    return {
        "median": estimate.value,
        "percentile_10": estimate.low,
        "percentile_90": estimate.high,
        "samples": estimate.count,
    }
