"""Resolves a table of the Glue Data Catalog to its objects, as Athena does: partitions, then the files below them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from cli.failures import CommandError
from cli.stage.connection import Connection
from cli.tables.glue_checks import column_names, descriptor_problems, file_kind, header_delimiter, table_problems
from cli.tables.iceberg import bucket_and_key
from cli.tables.snapshot import TableChoice, TableFile, TableSnapshot
from contract.dataset.object_keys import is_data
from contract.problems import InvalidInputError, Problem

_NULL = "__HIVE_DEFAULT_PARTITION__"
_TEXT_TYPES = ("string", "char", "varchar")
"""Types whose partition filters Glue evaluates. It would compare `01` and `1` of other types as numbers."""
_TABLE_FOLDERS = ("_delta_log", ".hoodie")
_SHOWN = 5


@dataclass(frozen=True)
class _Place:
    """A folder whose files are rows of the table."""

    location: str
    """Address that ends in "/"."""
    values: Mapping[str, str | None]
    """Values of the partition columns, by name; None for null."""


def read_glue(connection: Connection, location: str, choice: TableChoice) -> TableSnapshot:
    """Return the objects that the table has now.

    Args:
        location: Address of the dataset, which ends in "/". Other objects of it do not count.

    Raises:
        CommandError: when the table does not exist, or its files name other tables.
        InvalidInputError: with everything that Fleetscore would not read as Athena does.
    """
    glue = connection.client("glue")
    table = _table(glue, choice)
    name = f"table {choice.name} of the Glue Data Catalog"
    problems = [*table_problems(table, choice.dataset), *_filter_problems(table, choice)]
    if problems:
        raise InvalidInputError(name, problems)
    descriptor = table["StorageDescriptor"]
    partition_columns = column_names(table.get("PartitionKeys", ()))
    if partition_columns:
        places = _partitions(glue, table, choice, partition_columns, name)
    else:
        places = [_Place(_folder(descriptor["Location"]), {})]
    kind = file_kind(descriptor)
    shown = "".join(f", {column}={value}" for column, value in choice.partitions)
    return TableSnapshot(
        f"{name}, version {table.get('VersionId', '1')}{shown}",
        tuple(_files(connection, location, places, name)),
        dict.fromkeys(column_names(descriptor.get("Columns", ()))),
        frozenset(partition_columns),
        file_kind=kind,
        header_delimiter=header_delimiter(descriptor) if kind == "csv" else "",
        ignores_case=True,
        is_whole=not choice.partitions and _folder(descriptor["Location"]) == location,
    )


def _table(glue: Any, choice: TableChoice) -> dict[str, Any]:
    database, _, name = choice.name.partition(".")
    try:
        found: dict[str, Any] = glue.get_table(DatabaseName=database, Name=name)["Table"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityNotFoundException":
            raise
        raise CommandError(
            f"--table-name: got {choice.name!r}, expected a table of the Glue Data Catalog of this account and Region. "
            f"List them with `aws glue get-tables --database-name {database}`."
        ) from error
    return found


def _filter_problems(table: Mapping[str, Any], choice: TableChoice) -> list[Problem]:
    known = column_names(table.get("PartitionKeys", ()))
    expected = f"a partition column of the table: {', '.join(known)}" if known else "none: the table has no partitions"
    names = [name for name, _ in choice.partitions]
    problems = [
        Problem("--table-partition", f"{name}={value}", expected)
        for name, value in choice.partitions
        if name not in known
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [*problems, *(Problem("--table-partition", name, "each column once") for name in twice)]


def _partitions(
    glue: Any, table: Mapping[str, Any], choice: TableChoice, columns: Sequence[str], name: str
) -> list[_Place]:
    """Return the chosen partitions.

    Raises:
        InvalidInputError: when there are none, or some are stored in another way than the table.
    """
    database, _, table_name = choice.name.partition(".")
    types = {column["Name"]: column.get("Type", "") for column in table["PartitionKeys"]}
    texts = [(column, value) for column, value in choice.partitions if types[column].startswith(_TEXT_TYPES)]
    terms = [f"{column}='{value.replace(chr(39), chr(39) * 2)}'" for column, value in texts]
    pages = glue.get_paginator("get_partitions").paginate(
        DatabaseName=database,
        TableName=table_name,
        ExcludeColumnSchema=True,
        **({"Expression": " AND ".join(terms)} if terms else {}),
    )
    wanted = dict(choice.partitions)
    found: list[_Place] = []
    others: list[str] = []
    problems: list[Problem] = []
    for page in pages:
        for partition in page["Partitions"]:
            values = dict(zip(columns, partition["Values"], strict=True))
            label = "/".join(f"{column}={value}" for column, value in values.items())
            if any(values[column] != value for column, value in wanted.items()):
                others.append(label)
                continue
            descriptor = partition["StorageDescriptor"]
            problems += descriptor_problems(f"partition {label}", descriptor, of_table=table["StorageDescriptor"])
            nulls = {column: None if value == _NULL else value for column, value in values.items()}
            found.append(_Place(_folder(descriptor.get("Location", "")), nulls))
    if problems:
        raise InvalidInputError(name, problems)
    if not found:
        chosen = ", ".join(f"{column}={value}" for column, value in choice.partitions) or "every partition"
        known = "a partition in the catalog" + (f", such as {', '.join(sorted(others)[-_SHOWN:])}" if others else "")
        remedy = "Add missing ones to the catalog with `MSCK REPAIR TABLE` or `ALTER TABLE … ADD PARTITION`."
        raise InvalidInputError(name, [Problem("--table-partition", chosen, known, remedy)])
    return found


def _files(connection: Connection, location: str, places: Iterable[_Place], name: str) -> Iterator[TableFile]:
    """Yield the files of the places, in the order of the dataset's listing.

    Raises:
        CommandError: when a place is outside the dataset, or a folder belongs to another kind of table.
    """
    by_folder: dict[str, list[_Place]] = {}
    for place in places:
        by_folder.setdefault(place.location, []).append(place)
    outside = sorted(folder for folder in by_folder if not folder.startswith(location))
    if outside:
        raise CommandError(
            f"{name} has {len(outside):,} locations that are not below {location}, such as {outside[0]}. Copy the "
            "files below the dataset and name that location in the catalog, or score them as another dataset."
        )
    bucket, prefix = bucket_and_key(location)
    for page in connection.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            folders, uri = entry["Key"].split("/")[:-1], f"s3://{bucket}/{entry['Key']}"
            around = ["/".join(folders[:end]) for end in range(1, len(folders) + 1)]
            found = [place for folder in around for place in by_folder.get(f"s3://{bucket}/{folder}/", ())]
            if not found:
                continue
            relative = uri.removeprefix(found[0].location)
            _check_plain(name, relative, uri)
            if is_data(relative):
                # A file of two places has its rows twice, which `manifest` refuses.
                yield from (TableFile(uri, int(entry["Size"]), place.values) for place in found)


def _check_plain(name: str, key: str, uri: str) -> None:
    """Check that a key does not show a table whose own metadata says which files count."""
    *folders, last = key.split("/")
    is_iceberg = folders[-1:] == ["metadata"] and ".metadata.json" in last
    if is_iceberg or any(folder in _TABLE_FOLDERS for folder in folders):
        raise CommandError(
            f"{name} has the files of another table format ({uri}), of which not every file counts. Score its "
            "snapshot with `--table delta` or `--table iceberg`."
        )


def _folder(uri: str) -> str:
    """Return an address in S3 with the scheme `s3` and one slash at its end; the text itself if it is no address."""
    try:
        bucket, key = bucket_and_key(uri)
    except ValueError:
        return uri
    return f"s3://{bucket}/{key.rstrip('/')}/" if key.strip("/") else f"s3://{bucket}/"
