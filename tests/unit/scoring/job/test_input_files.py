"""Files of a manifest's objects are found in every known layout, and other layouts are named."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.job.scoring_spec import PinnedObject
from contract.status import FailureKind
from scoring.errors import ConfigurationError
from scoring.job.input_files import find_input_files

KEYS = ("a.parquet", "day=1/b.parquet", "flights/a.parquet")


def pinned(*keys: str) -> Iterator[PinnedObject]:
    """Yield objects with these keys, once, as a snapshot does."""
    return (PinnedObject(key, 1, "etag") for key in keys)


def put(folder: Path, *paths: str) -> Path:
    data = folder / "data"
    data.mkdir()
    for path in paths:
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_text(path)
    return data


@pytest.mark.parametrize("prefix", ["flights/", ""])
def test_files_are_found_below_their_full_key_and_relative_to_the_dataset(tmp_path: Path, prefix: str) -> None:
    data = put(tmp_path, f"{prefix}a.parquet", f"{prefix}day=1/b.parquet", "attempt-1.manifest")
    files = find_input_files(data, "flights", pinned("a.parquet", "day=1/b.parquet", "not/on/this/instance.parquet"))
    assert [item.key for item in files.objects] == ["a.parquet", "day=1/b.parquet"]
    assert all(files.path(item).read_text() == prefix + item.key for item in files.objects)
    assert files.others == ("attempt-1.manifest",)


@pytest.mark.parametrize("keys", [KEYS[:1], KEYS[2:], KEYS], ids=["one", "the other", "all"])
def test_a_key_that_begins_like_a_full_key_has_its_own_file(tmp_path: Path, keys: tuple[str, ...]) -> None:
    data = put(tmp_path, *(f"flights/{key}" for key in keys))
    files = find_input_files(data, "flights", pinned(*KEYS))
    assert {item.key: files.path(item).read_text() for item in files.objects} == {key: f"flights/{key}" for key in keys}


def test_a_mixture_of_layouts_is_refused_by_name(tmp_path: Path) -> None:
    data = put(tmp_path, "flights/a.parquet", "day=1/b.parquet")
    with pytest.raises(ConfigurationError) as raised:
        find_input_files(data, "flights", pinned(*KEYS))
    assert "input 'data' has files in two layouts, 'flights/a.parquet' below their full key and " in raised.value.text
    assert "'day=1/b.parquet' relative to the dataset, expected one of them" in raised.value.text


def test_files_of_which_none_is_expected_are_named(tmp_path: Path) -> None:
    data = put(tmp_path, *(f"bucket/flights/{number}{'x' * 200}.parquet" for number in range(9)))
    with pytest.raises(ConfigurationError) as raised:
        find_input_files(data, "flights", pinned(*KEYS))
    assert raised.value.kind is FailureKind.CONFIGURATION
    text = raised.value.text
    assert "input 'data' has 9 files, none of which the job expects: it has " in text
    assert " and 6 more, expected files such as 'flights/a.parquet': compare these paths with" in text
    assert len(text) < 1_000


@pytest.mark.parametrize("paths", [(), ("attempt-1.manifest",), ("runs/attempt-1.manifest",)])
def test_an_instance_without_objects_is_fine(tmp_path: Path, paths: tuple[str, ...]) -> None:
    files = find_input_files(put(tmp_path, *paths), "flights", pinned(*KEYS))
    assert (files.objects, files.others) == ((), paths)
