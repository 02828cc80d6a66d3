"""Iceberg tables in S3 whose catalog is a file on this machine."""

import functools
import io
import os
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest

from cli.tables.iceberg import bucket_and_key

sql_catalog = pytest.importorskip("pyiceberg.catalog.sql")
files = pytest.importorskip("pyiceberg.io")


def _client() -> Any:
    return _client_of(os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_ACCESS_KEY_ID"))


@functools.cache
def _client_of(_endpoint: str | None, _key: str | None) -> Any:
    """Return a client for the variables of the process; making one for each file would take most of the time."""
    return boto3.client("s3")


class _Upload(io.BytesIO):
    def __init__(self, location: str) -> None:
        super().__init__()
        self._location = location

    def close(self) -> None:
        if not self.closed:
            bucket, key = bucket_and_key(self._location)
            _client().put_object(Bucket=bucket, Key=key, Body=self.getvalue())
        super().close()


class _File:
    """A file of PyIceberg, for reading and writing."""

    def __init__(self, location: str) -> None:
        self.location = location

    def __len__(self) -> int:
        bucket, key = bucket_and_key(self.location)
        return int(_client().head_object(Bucket=bucket, Key=key)["ContentLength"])

    def exists(self) -> bool:
        bucket, key = bucket_and_key(self.location)
        return bool(_client().list_objects_v2(Bucket=bucket, Prefix=key).get("KeyCount"))

    def open(self, seekable: bool = True) -> io.BytesIO:
        bucket, key = bucket_and_key(self.location)
        return io.BytesIO(_client().get_object(Bucket=bucket, Key=key)["Body"].read())

    def create(self, overwrite: bool = False) -> io.BytesIO:
        return _Upload(self.location)

    def to_input_file(self) -> "_File":
        return self


class S3Files(files.FileIO):  # type: ignore[misc, name-defined]
    """PyIceberg's files in S3, with the session of boto3 that tests have prepared."""

    def new_input(self, location: str) -> Any:
        return _File(location)

    def new_output(self, location: str) -> Any:
        return _File(location)

    def delete(self, location: Any) -> None:
        bucket, key = bucket_and_key(getattr(location, "location", location))
        _client().delete_object(Bucket=bucket, Key=key)


def create_table(folder: Path, location: str, rows: pa.Table, **properties: str) -> Any:
    """Create a table with these rows at an address in S3."""
    catalog = sql_catalog.SqlCatalog(
        "local",
        **{"uri": f"sqlite:///{folder}/catalog.db", "warehouse": location, "py-io-impl": f"{__name__}.S3Files"},
    )
    catalog.create_namespace_if_not_exists("n")
    table = catalog.create_table("n.t", schema=rows.schema, location=location, properties=properties)
    table.append(rows)
    return table
