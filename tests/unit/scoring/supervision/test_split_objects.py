"""The supervisor merges the parts of an object once all are predicted."""

from pathlib import Path

import pytest

from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind
from scoring.protocol import Failure, MergeParts, ObjectDone, PartDone
from scoring.supervision.split_objects import SplitObjects, can_be_split

ITEM = PinnedObject("a.parquet", 1 << 30, "etag")


def test_parts_are_merged_without_the_models_that_failed() -> None:
    split = SplitObjects(models=2)
    assert [task.part for task in split.split(ITEM, 3)] == [0, 1, 2]
    later, earlier = (Failure("bad", FailureKind.MODEL, f"in part {part}") for part in (2, 1))
    assert split.finish_part(PartDone("a.parquet", 2, 1.0, (later,))) is None
    assert split.finish_part(PartDone("a.parquet", 1, 1.0, (earlier,))) is None
    assert split.finish_part(PartDone("a.parquet", 0, 1.0)) == MergeParts(ITEM, 3, ("bad",), seconds=3.0)
    assert split.finish_object(ObjectDone("a.parquet", 10, 1.0)) == ObjectDone("a.parquet", 10, 4.0, (earlier,))


def test_unreadable_object_ends_with_its_first_failed_part() -> None:
    split = SplitObjects(models=2)
    split.split(ITEM, 3)
    failure = Failure("", FailureKind.DATA, "damaged")
    assert split.finish_part(PartDone("a.parquet", 1, 1.0, (failure,))) == ObjectDone("a.parquet", 0, 1.0, (failure,))
    assert split.finish_part(PartDone("a.parquet", 2, 1.0, (failure,))) is None


@pytest.mark.parametrize(
    ("content", "size", "expected"), [(b"PAR1", 1 << 30, True), (b"PAR1", 1_000, False), (b"a,b\n", 1 << 30, False)]
)
def test_only_large_parquet_objects_can_be_split(tmp_path: Path, content: bytes, size: int, expected: bool) -> None:
    (tmp_path / "000").write_bytes(content)
    assert can_be_split(PinnedObject("000", size, "etag"), tmp_path / "000") is expected
