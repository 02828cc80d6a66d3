"""Writes a table's snapshot as a manifest, which an execution scores."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from cli.failures import CommandError
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.tables.delta import read_delta
from cli.tables.footers import check_columns
from cli.tables.glue import read_glue
from cli.tables.headers import HEAD_BYTES, check_headers
from cli.tables.iceberg import bucket_and_key, read_iceberg
from cli.tables.snapshot import TableChoice, TableFile, TableSnapshot
from contract import codec, layout
from contract.dataset.partitions import partition_values
from contract.triggers.uploads import ObjectVersion, UploadManifest

_DIGEST_CHARACTERS = 32
_READERS = {"delta": read_delta, "iceberg": read_iceberg, "glue": read_glue}


def write_snapshot(connection: Connection, deployment: Deployment, choice: TableChoice) -> tuple[str, UploadManifest]:
    """Read and check the snapshot, write its manifest, and return the manifest with its key.

    Raises:
        CommandError: when the table cannot be read, or its files do not determine its rows.
        InvalidInputError: with all properties of a Glue table that Fleetscore would not read as Athena does.
    """
    prefix = layout.dataset_prefix(choice.dataset)
    location = layout.s3_uri(deployment.datasets_bucket, prefix + choice.folder)
    snapshot = _READERS[choice.format](connection, location, choice)
    s3 = connection.client("s3")
    keys = _keys(snapshot, deployment.datasets_bucket, prefix)
    objects = _pin(snapshot, keys, dict(_listing(s3, deployment.datasets_bucket, prefix)))

    def read(item: ObjectVersion, start: int, end: int | None = None) -> bytes:
        answer = s3.get_object(
            Bucket=deployment.datasets_bucket,
            Key=prefix + item.key,
            Range=f"bytes={start}-{'' if end is None else end - 1}",
            IfMatch=f'"{item.etag}"',
        )
        body: bytes = answer["Body"].read()
        return body

    if snapshot.file_kind == "parquet":
        check_columns(objects, snapshot, read, choice.format)
    elif snapshot.file_kind == "csv":
        check_headers(objects, snapshot, lambda item: read(item, 0, HEAD_BYTES))
    _check_partitions(snapshot, keys)
    manifest = UploadManifest(choice.dataset, "table", objects, names_objects=True, table=snapshot.name)
    text = json.dumps(codec.to_json(manifest), ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    # Only predictions of all that the dataset has now may become its latest ones.
    is_whole = snapshot.is_whole and choice.version is None and not choice.at and not choice.folder
    name = layout.TABLE_MANIFEST if is_whole else layout.TABLE_PART_MANIFEST
    key = layout.upload_manifest_key(choice.dataset, f"{name}{digest}")
    # The key is a digest of the content, so concurrent writers write the same object.
    s3.put_object(Bucket=deployment.results_bucket, Key=key, Body=text.encode(), ContentType="application/json")
    return key, manifest


def _keys(snapshot: TableSnapshot, bucket: str, prefix: str) -> dict[str, TableFile]:
    """Return the files by key relative to the dataset."""
    keys: dict[str, TableFile] = {}
    outside: list[str] = []
    twice: list[str] = []
    for file in snapshot.files:
        try:
            found_bucket, key = bucket_and_key(file.uri)
        except ValueError:
            found_bucket, key = "", ""
        if found_bucket != bucket or not key.startswith(prefix):
            outside.append(file.uri)
        else:
            key = key.removeprefix(prefix)
            twice += [key] if key in keys else []
            keys[key] = file
    if outside:
        raise CommandError(
            f"{snapshot.name} has {len(outside):,} files that are not below {layout.s3_uri(bucket, prefix)}, such as "
            f"{outside[0]}. Copy the table into the datasets bucket with a tool that rewrites its metadata."
        )
    if twice:
        raise CommandError(
            f"{snapshot.name} names {len(twice):,} files more than once, such as {twice[0]}, so their rows count more "
            "than once. Rewrite the table, or remove the files that were added again."
        )
    if not keys:
        raise CommandError(f"{snapshot.name} has no rows. There is nothing to score.")
    return keys


def _listing(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, ObjectVersion]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            key = entry["Key"].removeprefix(prefix)
            yield key, ObjectVersion(key, "", entry["ETag"].strip('"'), int(entry["Size"]))


def _pin(
    snapshot: TableSnapshot, keys: dict[str, TableFile], listing: dict[str, ObjectVersion]
) -> tuple[ObjectVersion, ...]:
    missing = [key for key in keys if key not in listing]
    if missing:
        raise CommandError(
            f"{snapshot.name} has {len(missing):,} files that do not exist any more, such as {missing[0]}: the table "
            "was cleaned up. Choose a newer snapshot."
        )
    other = [key for key, file in keys.items() if listing[key].size != file.size]
    if other:
        key = other[0]
        raise CommandError(
            f"{snapshot.name} has {len(other):,} files of another size than the table says, such as {key} with "
            f"{listing[key].size:,} bytes instead of {keys[key].size:,}. Somebody replaced them: repair the table."
        )
    return tuple(listing[key] for key in sorted(keys))


def _check_partitions(snapshot: TableSnapshot, keys: dict[str, TableFile]) -> None:
    """Check that keys have the values of partition columns, which files need not have."""
    for key, file in sorted(keys.items()):
        names = sorted(snapshot.partition_columns)
        try:
            found = partition_values(key, names)
        except ValueError as error:
            raise CommandError(
                f"{snapshot.name}: {key}: {error}. Rewrite the table with the column in its keys."
            ) from error
        wrong = [name for name in names if not _is_value(found[name], file.partition.get(name))]
        if wrong:
            raise CommandError(
                f"{snapshot.name}: the key {key} has another value of {', '.join(wrong)} than the table's log. Rewrite "
                "the file."
            )


def _is_value(text: str | None, value: Any) -> bool:
    """Return whether a key's text is a partition's value.

    Writers have several texts for one time or number.
    """
    if text is None or value is None or value == "":
        return text is None and (value is None or value == "")
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, (datetime, float, Decimal)):
        return _is_equal(text, value)
    return text == (value.isoformat() if isinstance(value, date) else str(value))


def _is_equal(text: str, value: datetime | float | Decimal) -> bool:
    try:
        if isinstance(value, datetime):
            return _in_utc(datetime.fromisoformat(text)) == _in_utc(value)
        return type(value)(text) == value or text.lower() == str(value) == "nan"
    except (ValueError, ArithmeticError):
        return False


def _in_utc(moment: datetime) -> datetime:
    """Return a time in UTC, which is meant where a table names no zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
