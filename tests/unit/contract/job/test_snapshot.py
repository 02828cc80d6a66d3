import dataclasses
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.job.scoring_spec import PinnedObject, SnapshotRef
from contract.job.snapshot import Snapshot, read_snapshot
from contract.problems import InvalidInputError
from tests.unit.contract.strategies import pinned_objects

OBJECTS = (PinnedObject("day=1/a.parquet", 3, "e1"), PinnedObject("Zürich\x85\u2028 \t.csv", 4, "e2"))


def any_snapshot(*objects: PinnedObject) -> Snapshot:
    return Snapshot("flights", "datasets-dev", objects or OBJECTS)


def read(text: bytes, ref: SnapshotRef) -> tuple[PinnedObject, ...]:
    return tuple(read_snapshot(io.BytesIO(text), ref))


@given(st.lists(pinned_objects, min_size=1, max_size=9, unique_by=lambda item: item.key))
def test_objects_with_any_key_are_read_as_they_were_written(objects: list[PinnedObject]) -> None:
    snapshot = any_snapshot(*objects)
    text = snapshot.text()
    ref = snapshot.ref("s3://results/s", text)
    assert read(text, ref) == snapshot.objects
    assert (ref.objects, ref.bytes) == (len(objects), sum(item.size for item in objects))
    assert text.count(b"\n") == len(objects) + 1
    assert text.isascii()


def test_a_long_snapshot_is_read_in_parts() -> None:
    snapshot = any_snapshot(*(PinnedObject(f"{number}.parquet", number, "e") for number in range(10_000)))
    text = snapshot.text()
    found = read_snapshot(io.BytesIO(text), snapshot.ref("s3://results/s", text))
    assert next(found) == snapshot.objects[0]
    assert (snapshot.objects[0], *found) == snapshot.objects


def test_the_first_line_says_what_the_snapshot_is_of() -> None:
    header, first = any_snapshot().text().splitlines()[:2]
    assert json.loads(header) == {
        "schema_version": 2,
        "dataset": "flights",
        "dataset_bucket": "datasets-dev",
        "objects": 2,
        "bytes": 7,
    }
    assert first == b'["day=1/a.parquet",3,"e1"]'


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text.replace(b'"e1"', b'"e3"')])
def test_a_changed_file_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    text = any_snapshot().text()
    ref = any_snapshot().ref("s3://results/s", text)
    with pytest.raises(InvalidInputError, match=f"snapshot s3://results/s .*SHA-256: got .*, expected {ref.sha256}"):
        read(change(text), ref)


def test_a_file_of_another_release_is_refused_by_its_version() -> None:
    text = any_snapshot().text().replace(b'"schema_version": 2', b'"schema_version": 3')
    ref = any_snapshot().ref("s3://results/s", text)
    with pytest.raises(InvalidInputError, match=r"schema_version: got 3, expected 2\. .* different releases"):
        read(text, ref)


def test_two_objects_with_one_key_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="objects: got '2 objects', expected each key once"):
        any_snapshot(OBJECTS[0], dataclasses.replace(OBJECTS[0], size=9)).text()


def test_a_reference_without_objects_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="at least one object"):
        SnapshotRef("s3://results/s", "0" * 64, 0, 0)


def test_a_file_on_this_machine_is_written_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "input" / "objects.jsonl"
    ref = any_snapshot().write(path)
    assert ref.uri == path.as_uri()
    assert read(path.read_bytes(), ref) == OBJECTS
