"""The objects of an input, and their shards."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.sagemaker.instances.settings import ManifestLayout
from embedded.sagemaker.transfer.inputs import RemoteObject, parse_manifest, shard, split_s3_uri
from embedded.sagemaker.transfer.inputs import _below_prefix as below_prefix


def objects(*keys: str) -> list[RemoteObject]:
    return [RemoteObject("bucket", key, key) for key in keys]


def test_a_manifest_names_objects_below_its_prefix() -> None:
    found = parse_manifest(b'[{"prefix": "s3://bucket/path/"}, "a", "deep/b"]')
    assert [(item.uri, item.relative) for item in found] == [
        ("s3://bucket/path/a", "a"),
        ("s3://bucket/path/deep/b", "deep/b"),
    ]


def test_files_of_a_manifest_can_have_their_full_keys_as_paths() -> None:
    text = b'[{"prefix": "s3://bucket/path/"}, "a", "deep/b"]'
    assert [item.relative for item in parse_manifest(text, "full-key")] == ["path/a", "path/deep/b"]


@pytest.mark.parametrize("layout", ["relative", "full-key"])
def test_both_layouts_are_the_same_from_the_buckets_root(layout: ManifestLayout) -> None:
    found = parse_manifest(b'[{"prefix": "s3://bucket/"}, "path/a"]', layout)
    assert [(item.uri, item.relative) for item in found] == [("s3://bucket/path/a", "path/a")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"{}", "must be a JSON list"),
        (b"[]", "must be a JSON list"),
        (b'["a"]', 'the first entry must be {"prefix": "s3://<bucket>/<path>"}, not "a"'),
        (b'[{"prefix": "bucket/path"}]', "the first entry"),
        (b'[{"prefix": "s3://"}, "a"]', "the first entry"),
        (b'[{"prefix": "s3://b/"}, 7]', "every entry after the first must be a non-empty text, not 7"),
        (b"nonsense", "Expecting value"),
    ],
)
def test_an_invalid_manifest_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_manifest(text)


@pytest.mark.parametrize(
    ("key", "prefix", "expected"),
    [
        ("path/a.csv", "path/", "a.csv"),
        ("path/deep/a.csv", "path/", "deep/a.csv"),
        ("path/deep/a.csv", "path", "deep/a.csv"),
        ("path/a.csv", "path/a.csv", "a.csv"),
        ("path/data-1/a.csv", "path/da", "data-1/a.csv"),
        ("data-1/a.csv", "da", "data-1/a.csv"),
        ("path/", "path/", ""),
        ("a", "", "a"),
    ],
)
def test_an_object_keeps_its_path_below_the_prefix(key: str, prefix: str, expected: str) -> None:
    assert below_prefix(key, prefix) == expected


def test_an_s3_uri_is_split_at_the_bucket() -> None:
    assert split_s3_uri("s3://bucket/a/b") == ("bucket", "a/b")
    assert split_s3_uri("s3://bucket") == ("bucket", "")


@given(st.integers(0, 40), st.integers(1, 12))
def test_shards_are_complete_disjoint_and_balanced(count: int, instances: int) -> None:
    everything = objects(*(f"{number:03}" for number in range(count)))
    shards = [shard(everything, instances, index, "ShardedByS3Key") for index in range(instances)]
    assert sorted((item for part in shards for item in part), key=lambda item: item.key) == everything
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_replicated_objects_go_to_all_instances() -> None:
    assert shard(objects("a", "b"), 3, 2, "FullyReplicated") == objects("a", "b")
