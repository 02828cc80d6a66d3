"""Objects in archived storage, by what listings and HeadObject say about them."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from lambdas.dataset.archived import check_archived
from lambdas.stage.buckets.object_store import ObjectStore

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
RESTORED = {"IsRestoreInProgress": False, "RestoreExpiryDate": NOW}


class S3:
    """Lists given objects, and answers HeadObject with given fields."""

    def __init__(self, objects: dict[str, dict[str, Any]], heads: dict[str, dict[str, Any]] | None = None) -> None:
        self._objects = objects
        self._heads = heads or {}
        self.asked: list[str] = []

    def get_paginator(self, _name: str) -> "S3":
        return self

    def paginate(self, OptionalObjectAttributes: list[str], **_named: Any) -> list[dict[str, Any]]:  # noqa: N803
        assert OptionalObjectAttributes == ["RestoreStatus"]
        return [{"Contents": [entry(f"d/{key}", fields) for key, fields in self._objects.items()]}]

    def list_objects_v2(self, Prefix: str, OptionalObjectAttributes: list[str], **_named: Any) -> dict[str, Any]:  # noqa: N803
        assert OptionalObjectAttributes == ["RestoreStatus"]
        return {"Contents": [entry(key, fields) for key, fields in self._objects.items() if key.startswith(Prefix)]}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        self.asked.append(Key)
        return {"ContentLength": 7, **self._heads.get(Key, {})}


def entry(key: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "Size": 1, "ETag": '"e"', "LastModified": LONG_AGO, "StorageClass": "STANDARD", **fields, "Key": key,
    }  # fmt: skip


def problems(s3: S3) -> list[str]:
    store = ObjectStore(cast("Any", s3), datasets_bucket="datasets", models_bucket="models", results_bucket="results")
    return [str(problem) for problem in check_archived("d", store.dataset_objects("d"), store, NOW.timestamp())]


def test_archived_objects_are_refused_with_what_to_do() -> None:
    archived = {f"{number}.parquet": {"StorageClass": "DEEP_ARCHIVE"} for number in range(1_200)}
    (text,) = problems(S3({"0.parquet": {}, **archived, "a.parquet": {"StorageClass": "GLACIER"}}))
    assert text == (
        "dataset 'd': got '1,201 of 1,201 objects in archived storage', expected only objects that can be read at "
        "once. Restore them (`aws s3api restore-object`) and wait until that has ended, copy them to another storage "
        "class, or move them out of the dataset. The first: 0.parquet (DEEP_ARCHIVE), 1.parquet (DEEP_ARCHIVE), "
        "10.parquet (DEEP_ARCHIVE) and 1,198 more."
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        *[{"StorageClass": name} for name in ("STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "INTELLIGENT_TIERING")],
        {"StorageClass": "GLACIER", "RestoreStatus": RESTORED},
    ],
)
def test_other_objects_and_restored_ones_are_accepted(fields: dict[str, Any]) -> None:
    assert problems(S3({"a.parquet": fields})) == []


def test_a_restore_in_progress_is_not_enough() -> None:
    (text,) = problems(S3({"a": {"StorageClass": "GLACIER", "RestoreStatus": {"IsRestoreInProgress": True}}}))
    assert "1 of 1 objects" in text


def test_archive_tiers_are_asked_for_where_they_are_possible() -> None:
    tiered = {"StorageClass": "INTELLIGENT_TIERING"}
    heads = {"d/old": {**tiered, "ArchiveStatus": "ARCHIVE_ACCESS"}, "d/read": tiered}
    s3 = S3({"old": tiered, "read": tiered, "new": {**tiered, "LastModified": NOW}, "plain": {}}, heads)
    (text,) = problems(s3)
    assert "1 of 4 objects" in text
    assert "The first: old (INTELLIGENT_TIERING, ARCHIVE_ACCESS)." in text
    assert sorted(s3.asked) == ["d/old", "d/read"]


def test_an_archived_artifact_is_told_from_a_restored_one() -> None:
    key = "m/1/model.tar.gz"

    def archive(head: dict[str, Any] | None = None, **listed: Any) -> str:
        s3 = S3({key: {"Size": 7, **listed}}, {key: head or {}})
        store = ObjectStore(cast("Any", s3), datasets_bucket="d", models_bucket="m", results_bucket="r")
        [found] = store.artifacts([key]).values()
        assert found.bytes == 7
        assert s3.asked == ([key] if head else [])
        return found.archive

    assert archive() == archive(StorageClass="GLACIER_IR") == ""
    assert archive(StorageClass="GLACIER") == "GLACIER"
    assert archive(StorageClass="GLACIER", RestoreStatus={"IsRestoreInProgress": True}) == "GLACIER"
    assert archive(StorageClass="GLACIER", RestoreStatus=RESTORED) == ""
    tiered = {"StorageClass": "INTELLIGENT_TIERING"}
    assert archive(tiered, **tiered) == ""
    assert archive({**tiered, "ArchiveStatus": "ARCHIVE_ACCESS"}, **tiered) == "INTELLIGENT_TIERING, ARCHIVE_ACCESS"
