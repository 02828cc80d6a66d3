"""Read the predictions, and check that every flight was scored once by its carrier's model in the fleet,
and once by its airport's."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.table import Table

from contract import layout
from contract.job.fleet import MODEL_ID_COLUMN, fleet_job_id
from examples.flights.data import CARRIER, FLEET, KEY, ORIGIN, Group
from examples.flights.fleet import PROBABILITIES, TrainedModel

LATE = PROBABILITIES[1]
_THRESHOLD = 0.5
_DOWNLOADS = 8
_SHOWN = ("time_hour", CARRIER, "flight", ORIGIN, "dest", "dep_delay", "arr_delay")


class PredictionsError(Exception):
    """Predictions are missing, repeated, invalid, or of other flights."""


def output_prefixes(groups: Iterable[Group], execution_id: str) -> list[str]:
    """Return the prefixes of the fleet's output and of the airports' predictions."""
    fleet = layout.job_outputs_prefix("predictions", FLEET, execution_id, fleet_job_id(FLEET), "fleet")
    return [fleet, *(_airport_prefix(group, execution_id) for group in groups if group.column == ORIGIN)]


def _airport_prefix(group: Group, execution_id: str) -> str:
    """Return the prefix of an airport's predictions. Dataset, job and model have the group's name."""
    return layout.model_outputs_prefix("predictions", group.name, execution_id, group.name, group.name)


def download(s3: Any, bucket: str, prefixes: Iterable[str], folder: Path) -> int:
    """Copy all outputs below the prefixes to the folder, by key; return the number of files."""
    pages = [
        page
        for prefix in prefixes
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    ]
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]

    def fetch(key: str) -> None:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        list(pool.map(fetch, keys))
    return len(keys)


def read_predictions(folder: Path, groups: Sequence[Group], execution_id: str) -> dict[Group, pa.Table]:
    """Return `flight_id` and `probability_late` of each model's downloaded predictions.

    Raises:
        PredictionsError: when the fleet or an airport's model has none.
    """
    [fleet_prefix, *_] = output_prefixes(groups, execution_id)
    fleet = _read(folder / fleet_prefix, [KEY, LATE, MODEL_ID_COLUMN])

    def of_group(group: Group) -> pa.Table:
        if group.column == ORIGIN:
            return _read(folder / _airport_prefix(group, execution_id), [KEY, LATE])
        return fleet.filter(pc.field(MODEL_ID_COLUMN) == group.name).select([KEY, LATE])

    return {group: of_group(group) for group in groups}


def _read(folder: Path, columns: Sequence[str]) -> pa.Table:
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise PredictionsError(f"There are no predictions in {folder}.")
    # partitioning=None: the names of the folders must not become columns.
    return pa.concat_tables(pq.read_table(file, columns=list(columns), partitioning=None) for file in files)


def check_predictions(flights: pa.Table, predictions: Mapping[Group, pa.Table]) -> None:
    """Check that each flight has one probability by its carrier's model and one by its airport's.

    Raises:
        PredictionsError: with the problems of all models.
    """
    wrong: list[str] = []
    for group, table in predictions.items():
        expected = flights.filter(pc.field(group.column) == group.value)[KEY].to_numpy()
        scored = np.sort(table[KEY].to_numpy())
        if not np.array_equal(scored, np.sort(expected)):
            missing, extra = np.setdiff1d(expected, scored).size, np.setdiff1d(scored, expected).size
            doubled = scored.size - np.unique(scored).size
            wrong.append(f"{group.name}: {missing:,} flights missing, {doubled:,} repeated, {extra:,} of other models")
        chances = table[LATE].to_numpy()
        outside = int(np.count_nonzero(~((chances >= 0) & (chances <= 1))))
        if outside:
            wrong.append(f"{group.name}: {outside:,} predictions are not a probability")
    for column in (CARRIER, ORIGIN):
        tables = [table for group, table in predictions.items() if group.column == column]
        ids = np.sort(np.concatenate([table[KEY].to_numpy() for table in tables]))
        if not np.array_equal(ids, np.arange(flights.num_rows)):
            wrong.append(
                f"by {column}: {ids.size:,} predictions, expected one for each of {flights.num_rows:,} flights"
            )
    if wrong:
        raise PredictionsError("The predictions are not complete:\n  - " + "\n  - ".join(wrong))


def fleet_table(
    fleet: Sequence[TrainedModel], predictions: Mapping[Group, pa.Table], seconds: Mapping[str, float | None]
) -> Table:
    """Return one line per model: rows scored, share predicted late, and validation metrics.

    `seconds` has the duration of each job. The carriers' models share one, which is in the first line.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("model")
    for name in ("rows", "predicted late", "held-out AUC", "held-out flights", "seconds"):
        table.add_column(name, justify="right")
    carriers = [predictions[model.group] for model in fleet if model.group.column == CARRIER]
    scored = sum(rows.num_rows for rows in carriers)
    of_fleet = _seconds_text(seconds.get(fleet_job_id(FLEET)))
    table.add_row(f"{FLEET}, a fleet of {len(carriers)}", f"{scored:,}", "", "", "", of_fleet)
    for model in fleet:
        rows = predictions[model.group]
        late = float(np.mean(rows[LATE].to_numpy() > _THRESHOLD))
        in_fleet = "  " if model.group.column == CARRIER else ""
        table.add_row(
            in_fleet + model.group.name + (" *" if model.training_set.uses_other_carriers else ""),
            f"{rows.num_rows:,}",
            f"{late:.1%}",
            f"{model.auc:.3f}",
            f"{model.held_out_rows:,}",
            _seconds_text(seconds.get(model.group.name)),
        )
    return table


def _seconds_text(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def sample_table(flights: pa.Table, predictions: Mapping[Group, pa.Table], flight_ids: Sequence[int]) -> Table:
    """Return a table of some flights with the predictions of both of their models."""
    by_carrier, by_origin = _by_key(predictions, CARRIER), _by_key(predictions, ORIGIN)
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    # Headings of two lines make the table fit into 80 columns.
    for name in (*_SHOWN, "carrier's_model", "airport's_model"):
        number = name.endswith(("_delay", "_model"))
        heading = name.replace("_", "\n") if number else name
        table.add_column(heading, no_wrap=True, justify="right" if number else "left")
    for row in flights.take(list(flight_ids)).to_pylist():
        cells = [
            "" if row[name] is None else f"{row[name]:%d %b %H:%M}" if name == "time_hour" else str(row[name])
            for name in _SHOWN
        ]
        table.add_row(*cells, f"{by_carrier[row[KEY]]:.2f}", f"{by_origin[row[KEY]]:.2f}")
    return table


def _by_key(predictions: Mapping[Group, pa.Table], column: str) -> dict[int, float]:
    chosen = pa.concat_tables(table for group, table in predictions.items() if group.column == column)
    return dict(zip(chosen[KEY].to_pylist(), chosen[LATE].to_pylist(), strict=True))
