"""Reads the snapshot of an Iceberg table with `pyiceberg`, through the command's own S3 client."""

import io
import re
from collections.abc import Container
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from cli.failures import CommandError
from cli.stage.connection import Connection
from cli.tables.snapshot import TableChoice, TableFile, TableSnapshot, import_extra

_SCHEMES = frozenset({"s3", "s3a", "s3n"})
_METADATA_FOLDER = "metadata/"
_HINT = "version-hint.text"
_METADATA_NAMES = (".metadata.json", ".metadata.json.gz")


def read_iceberg(connection: Connection, location: str, choice: TableChoice) -> TableSnapshot:
    """Return the snapshot of the table at an S3 address, without reading its data.

    Raises:
        CommandError: when the table cannot be read, or its files do not determine its rows.
    """
    serializers = import_extra("pyiceberg.serializers", "iceberg")
    tables = import_extra("pyiceberg.table", "iceberg")
    catalogs = import_extra("pyiceberg.catalog.noop", "iceberg")
    files = _S3Files(connection.client("s3"))
    address = choice.metadata or _current_metadata(files, location)
    try:
        metadata = serializers.FromInputFile.table_metadata(files.new_input(address))
        table = tables.Table(("table",), metadata, address, files, catalogs.NoopCatalog("static-table"))
        snapshot = _chosen(table, choice)
        name = f"snapshot {snapshot.snapshot_id} of the Iceberg table {metadata.location}"
        # An older snapshot has the schema of its time, the newest one that of the table.
        is_older = choice.version is not None or bool(choice.at)
        scan = table.scan(snapshot_id=snapshot.snapshot_id) if is_older else table.scan()
        schema = scan.projection()
        tasks = list(scan.plan_files())
    except (ValueError, OSError, NotImplementedError) as error:
        raise CommandError(
            f"The Iceberg table with the metadata {address} cannot be read: {str(error)[:500]}. Check --table-metadata "
            "and --table-version."
        ) from error
    _check_deletes(name, tasks)
    _check_formats(name, tasks)
    return TableSnapshot(
        name,
        tuple(TableFile(task.file.file_path, task.file.file_size_in_bytes) for task in tasks),
        {column.name: column.field_id for column in schema.fields},
    )


def _chosen(table: Any, choice: TableChoice) -> Any:
    if choice.at:
        moment = datetime.fromisoformat(choice.at)
        found = table.snapshot_as_of_timestamp(int(moment.timestamp() * 1_000))
        wanted = f"at {choice.at}"
    elif choice.version is not None:
        found, wanted = table.snapshot_by_id(choice.version), str(choice.version)
    else:
        found, wanted = table.current_snapshot(), "yet: it is empty"
    if found is None:
        known = ", ".join(str(entry.snapshot_id) for entry in table.metadata.snapshots[-5:])
        raise CommandError(f"The Iceberg table has no snapshot {wanted}. Its newest ones: {known or 'none'}.")
    return found


def _check_deletes(name: str, tasks: list[Any]) -> None:
    marked = [task.file.file_path for task in tasks if task.delete_files]
    if marked:
        raise CommandError(
            f"{name} has delete files for {len(marked):,} data files, such as {marked[0]}, which still hold the "
            "deleted rows. Rewrite them with Iceberg's procedure `rewrite_data_files`, and run the command again."
        )


def _check_formats(name: str, tasks: list[Any]) -> None:
    other = [task.file.file_path for task in tasks if str(task.file.file_format.value).lower() != "parquet"]
    if other:
        raise CommandError(
            f"{name} has {len(other):,} files that are not Parquet, such as {other[0]}. Rewrite them with the table's "
            "property write.format.default set to parquet."
        )


def _current_metadata(files: "_S3Files", location: str) -> str:
    """Return the address of the newest metadata file, if the table's own files say which it is."""
    folder = f"{location.rstrip('/')}/{_METADATA_FOLDER}"
    names = [name for name in files.names(folder) if name.endswith(_METADATA_NAMES)]
    hint = files.new_input(folder + _HINT)
    if hint.exists():
        version = hint.open().read().decode(errors="replace").strip()
        by_stem = {_stem(name): name for name in names}
        found = version if version in by_stem else _newest_from(version, by_stem)
        # A catalog that has taken over the table does not update the hint.
        if found in by_stem and _number(found) == max(map(_number, by_stem)):
            return folder + by_stem[found]
    if not names:
        raise CommandError(f"There is no Iceberg table at {location}: no {folder}*.metadata.json. Check the dataset.")
    raise CommandError(
        f"The files of the Iceberg table at {location} do not say which metadata is current; its catalog does. Add "
        f"--table-metadata with the catalog's metadata location, such as {folder}{max(names)} if that is the one."
    )


def _stem(name: str) -> str:
    """Return "v3" of v3.metadata.json, v3.metadata.json.gz and v3.gz.metadata.json."""
    return name.removesuffix(".gz").removesuffix(".metadata.json").removesuffix(".gz")


def _number(stem: str) -> int:
    digits = re.match(r"v?(\d{1,18})", stem)
    return int(digits[1]) if digits else -1


def _newest_from(version: str, stems: Container[str]) -> str:
    """Return the stem of the newest version.

    Writers look for later ones than the hint, which they update last.
    """
    number = _number(version)
    while f"v{number + 1}" in stems:
        number += 1
    return f"v{number}"


class _S3Files:
    """The `FileIO` of PyIceberg, for reading."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self.properties: dict[str, str] = {}

    def new_input(self, location: str) -> "_S3File":
        return _S3File(self._s3, location)

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects in a folder."""
        bucket, prefix = bucket_and_key(folder)
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        return [entry["Key"].removeprefix(prefix) for page in pages for entry in page.get("Contents", ())]


class _S3File:
    """The `InputFile` of PyIceberg: metadata, which fits into memory."""

    def __init__(self, s3: Any, location: str) -> None:
        self._s3 = s3
        self.location = location

    def __len__(self) -> int:
        bucket, key = bucket_and_key(self.location)
        return int(self._s3.head_object(Bucket=bucket, Key=key)["ContentLength"])

    def exists(self) -> bool:
        bucket, key = bucket_and_key(self.location)
        found = self._s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        return [entry["Key"] for entry in found.get("Contents", ())] == [key]

    def open(self, seekable: bool = True) -> io.BytesIO:
        bucket, key = bucket_and_key(self.location)
        try:
            return io.BytesIO(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket"):
                raise FileNotFoundError(f"there is no {self.location}") from error
            raise


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an address.

    Raises:
        ValueError: when it is not an address in S3.
    """
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise ValueError(f"{uri} is not in S3")
    return parts.netloc, uri.partition("://")[2].partition("/")[2]
