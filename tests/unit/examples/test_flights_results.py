"""Missing, repeated and invalid predictions are detected."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from examples.flights.data import CARRIER, KEY, ORIGIN, Group
from examples.flights.results import (
    LATE,
    PredictionsError,
    check_predictions,
    output_prefixes,
    read_predictions,
    sample_table,
)

FLIGHTS = pa.table(
    {
        KEY: pa.array([0, 1, 2], pa.int64()),
        CARRIER: ["AA", "UA", "AA"],
        ORIGIN: ["JFK", "JFK", "LGA"],
        "flight": [10, 11, 12],
        "dest": ["MIA", "IAH", "ORD"],
        "dep_delay": pa.array([5, None, 0], pa.int64()),
        "arr_delay": pa.array([7, None, -3], pa.int64()),
        "time_hour": pa.array([0, 3_600, 7_200], pa.timestamp("s", tz="UTC")),
    }
)


def scored(*ids: int, chance: float = 0.25) -> pa.Table:
    return pa.table({KEY: pa.array(ids, pa.int64()), LATE: pa.array([chance] * len(ids), pa.float32())})


def all_scored() -> dict[Group, pa.Table]:
    return {
        Group(CARRIER, "AA"): scored(2, 0),
        Group(CARRIER, "UA"): scored(1),
        Group(ORIGIN, "JFK"): scored(0, 1),
        Group(ORIGIN, "LGA"): scored(2),
    }


def test_complete_predictions_pass() -> None:
    check_predictions(FLIGHTS, all_scored())


@pytest.mark.parametrize(
    ("group", "table", "words"),
    [
        (Group(CARRIER, "AA"), scored(0), "flights-aa: 1 flights missing, 0 repeated"),
        (Group(CARRIER, "UA"), scored(1, 1), "flights-ua: 0 flights missing, 1 repeated"),
        (Group(ORIGIN, "LGA"), scored(1), "flights-from-lga: 1 flights missing, 0 repeated, 1 of other models"),
        (Group(ORIGIN, "LGA"), scored(2, chance=1.5), "flights-from-lga: 1 predictions are not a probability"),
        (Group(ORIGIN, "LGA"), scored(2, chance=float("nan")), "not a probability"),
    ],
)
def test_models_with_incomplete_predictions_are_named(group: Group, table: pa.Table, words: str) -> None:
    with pytest.raises(PredictionsError, match=words):
        check_predictions(FLIGHTS, {**all_scored(), group: table})


def test_a_missing_model_is_detected() -> None:
    predictions = all_scored()
    del predictions[Group(CARRIER, "UA")]
    with pytest.raises(PredictionsError, match="by carrier: 2 predictions, expected one for each of 3 flights"):
        check_predictions(FLIGHTS, predictions)


def test_predictions_are_read_from_all_objects_of_one_execution(tmp_path: Path) -> None:
    groups = list(all_scored())
    for execution_id in ("e", "another"):
        fleet, *airports = (tmp_path / prefix for prefix in output_prefixes(groups, execution_id))
        for folder in (fleet, *airports):
            folder.mkdir(parents=True)
        for month, ids, models in (("01", (0, 1), ("flights-aa", "flights-ua")), ("02", (2,), ("flights-aa",))):
            rows = scored(*ids).append_column("model_id", pa.array(models))
            pq.write_table(rows, fleet / f"2013-{month}.parquet")
        for folder, ids in zip(airports, ((0, 1), (2,)), strict=True):
            pq.write_table(scored(*ids), folder / "2013-01.parquet")
    found = read_predictions(tmp_path, groups, "e")
    assert {group.name: table[KEY].to_pylist() for group, table in found.items()} == {
        "flights-aa": [0, 2],
        "flights-ua": [1],
        "flights-from-jfk": [0, 1],
        "flights-from-lga": [2],
    }
    check_predictions(FLIGHTS, found)
    with pytest.raises(PredictionsError, match=r"no predictions in .*execution_id=none"):
        read_predictions(tmp_path, groups, "none")


def test_sample_table_shows_the_predictions_of_both_models() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(sample_table(FLIGHTS, all_scored(), [1]))
    assert isinstance(console.file, io.StringIO)
    line = console.file.getvalue().splitlines()[-1]
    assert line.split() == ["01", "Jan", "01:00", "UA", "11", "JFK", "IAH", "0.25", "0.25"]
