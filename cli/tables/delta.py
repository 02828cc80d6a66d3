"""Reads the snapshot of a Delta Lake table with `deltalake`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from cli.failures import CommandError
from cli.stage.connection import Connection
from cli.tables.iceberg import bucket_and_key
from cli.tables.snapshot import TableChoice, TableFile, TableSnapshot, import_extra

_CERTIFICATES = "SSL_CERT_FILE"
"""Variable that names the certificate authorities for `deltalake`, which ignores boto3's."""
_MAPPING = "delta.columnMapping.mode"


def read_delta(connection: Connection, location: str, choice: TableChoice) -> TableSnapshot:
    """Return the snapshot of the table at an S3 address, without reading its data.

    Raises:
        CommandError: when the table cannot be read, or its files do not determine its rows.
    """
    deltalake = import_extra("deltalake", "delta")
    with _certificates(connection.ca_bundle()):
        try:
            table = deltalake.DeltaTable(location, version=choice.version, storage_options=connection.storage_options())
            if choice.at:
                table.load_as_version(choice.at)
            name = f"version {table.version()} of the Delta Lake table {location}"
            if choice.at:
                _check_time(connection, location, table.version(), choice.at)
            if table.metadata().configuration.get(_MAPPING, "none") != "none":
                raise CommandError(
                    f"{name} has column mapping, so its files have other column names. Copy the table without it, and "
                    "score the copy."
                )
            marked = _files_with_deletions(table)
            if marked:
                raise CommandError(
                    f"{name} has deletion vectors for {len(marked):,} files, such as {marked[0]}, which still hold the "
                    f"deleted rows. Rewrite them with `REORG TABLE … APPLY (PURGE)`, and run the command again."
                )
            actions = table.get_add_actions(flatten=False)
            schema = table.schema()
            partitions = table.metadata().partition_columns
        except (OSError, ValueError, deltalake.exceptions.DeltaError) as error:
            raise CommandError(
                f"The Delta Lake table {location} cannot be read: {_first_line(error)}. Check the dataset's name, "
                "--table-folder and --table-version."
            ) from error
    return TableSnapshot(
        name,
        tuple(_files(location, actions)),
        {column.name: None for column in schema.fields},
        frozenset(partitions),
    )


def _files(location: str, actions: Any) -> Iterator[TableFile]:
    pyarrow = import_extra("pyarrow", "delta")
    for action in pyarrow.table(actions).to_pylist():
        # Paths in the log are URL-encoded. Those of other tables' files are whole addresses.
        path = unquote(action["path"])
        uri = path if "://" in path else f"{location.rstrip('/')}/{path}"
        yield TableFile(uri, action["size_bytes"], action.get("partition") or {})


def _check_time(connection: Connection, location: str, version: int, at: str) -> None:
    """Check that the version is not newer than the time: `deltalake` does not."""
    committed = _committed(connection, location, version)
    if committed is not None and committed <= datetime.fromisoformat(at):
        return
    when = f"dates from {committed:%Y-%m-%dT%H:%M:%SZ}" if committed else "is not in the log any more"
    raise CommandError(
        f"The Delta Lake table {location} has no version at {at}: the oldest that it could be is version {version}, "
        f"which {when}. Choose a later time, or a version with --table-version. (Copying a table's log changes its "
        "times.)"
    )


def _committed(connection: Connection, location: str, version: int) -> datetime | None:
    """Return when a version was written to the log; None if it is not there."""
    bucket, key = bucket_and_key(f"{location.rstrip('/')}/_delta_log/{version:020}.json")
    found = connection.client("s3").list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return next((entry["LastModified"] for entry in found.get("Contents", ())), None)


def _files_with_deletions(table: Any) -> list[str]:
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return []
    found: list[str] = []
    for batch in table.deletion_vectors():
        found += [str(value) for value in batch["filepath"].to_pylist()]
    return found


@contextmanager
def _certificates(bundle: str) -> Iterator[None]:
    before = os.environ.get(_CERTIFICATES)
    if bundle:
        os.environ[_CERTIFICATES] = bundle
    try:
        yield
    finally:
        if bundle:
            os.environ.pop(_CERTIFICATES)
            if before is not None:
                os.environ[_CERTIFICATES] = before


def _first_line(error: BaseException) -> str:
    lines = [line.strip().removeprefix("↳").strip() for line in str(error).splitlines()]
    return "; ".join(line for line in lines if line)[:500]
