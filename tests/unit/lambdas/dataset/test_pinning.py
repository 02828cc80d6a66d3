"""Which objects of a dataset are data, and which keys are refused."""

import pytest

from lambdas.dataset.pinning import pin_objects
from lambdas.stage.buckets.stored_object import StoredObject


def listing(*keys: str) -> list[StoredObject]:
    return [StoredObject(key, 10, "etag", 0.0) for key in keys]


def pin(*keys: str, output_prefix_bytes: int = 200) -> tuple[list[str], str]:
    objects, problems = pin_objects("d", listing(*keys), "datasets", output_prefix_bytes)
    return [item.key for item in objects], "; ".join(map(str, problems))


def test_hidden_names_and_folder_placeholders_are_not_data() -> None:
    keys = ("a.parquet", "_SUCCESS", "x/_meta.parquet", "x/.crc", "x/", "", "x/year=2019_$folder$", "x_$folder$")
    assert pin(*keys) == (["a.parquet"], "")


def test_hidden_folders_contain_no_data() -> None:
    """They contain uncommitted tasks of Spark, which would be scored twice, and the log of Delta
    tables.
    """
    keys = ("_temporary/0/task_1/a.parquet", "_delta_log/10.checkpoint.parquet", "x/.staging/a.parquet", "x/a.parquet")
    assert pin(*keys) == (["x/a.parquet"], "")
    assert pin("_year=2013/a.parquet") == (["_year=2013/a.parquet"], "")


def test_an_object_that_is_also_a_folder_is_refused() -> None:
    _, problems = pin("a.parquet", "a.parquet/b.parquet", "c.parquet", "c.parquet.jsonl/d.parquet", "e/f.parquet")
    assert "got 'a.parquet, c.parquet', expected no object whose key" in problems
    assert pin("a.parquet/b.parquet", "a.parquet/c.parquet") == (["a.parquet/b.parquet", "a.parquet/c.parquet"], "")


def test_hive_partitions_below_a_dataset_are_data() -> None:
    assert pin("carrier=UA/month=1/part-0.parquet") == (["carrier=UA/month=1/part-0.parquet"], "")


def test_an_unsafe_key_is_refused() -> None:
    keys, problems = pin("../c.parquet", "a/./b.parquet", "ok.parquet")
    assert keys == ["ok.parquet"]
    assert "'../c.parquet'" in problems
    assert "'a/./b.parquet'" in problems


@pytest.mark.parametrize(
    ("key", "moved"),
    [
        ("a//b.parquet", "s3://datasets/d/a// s3://datasets/d/a/"),
        ("a/x y//b///c.parquet", "'s3://datasets/d/a/x y//' 's3://datasets/d/a/x y/'"),
        ("/b.parquet", "s3://datasets/d// s3://datasets/d/"),
        ("///b.parquet", "s3://datasets/d// s3://datasets/d/"),
    ],
)
def test_keys_with_two_slashes_are_refused_together(key: str, moved: str) -> None:
    keys, problems = pin("ok.parquet", key, f"{key}.gz", "d//", "/")
    assert keys == ["ok.parquet"]
    assert f"got \"2 keys with '//': {key}, " in problems
    assert "expected keys without '//', because SageMaker refuses to copy others to a job" in problems
    assert f"Move them, for example: `aws s3 mv --recursive {moved}`." in problems
    assert "Move them, for example: `aws s3 mv --recursive`." in pin(f"{'a' * 150}/{key}")[1]


def test_a_key_too_long_for_its_predictions_key_is_refused() -> None:
    fits, too_long = "k/" * 400 + "a.parquet", "k/" * 409 + "a.parquet"
    assert pin(fits) == ([fits], "")
    keys, problems = pin(too_long)
    assert keys == []
    assert "at most 824 bytes" in problems


def test_a_name_too_long_for_a_file_is_refused() -> None:
    # The file name in the container is `.<name>.parquet.unfinished`, at most 255 bytes.
    longest, too_long = "n" * 227 + ".parquet", "n" * 228 + ".parquet"
    assert pin(longest) == ([longest], "")
    keys, problems = pin(too_long)
    assert keys == []
    assert "becomes a file name" in problems


def test_any_name_is_data_unless_it_says_another_format() -> None:
    keys = ["000", "20260101_000000_00001_abcde", "A.CSV", "part-0.json.gz", "x.pq", "x.txt"]
    assert pin(*keys) == (keys, "")
    kept, problems = pin("a.csv", "a.csv.metadata", "b.ORC")
    assert kept == ["a.csv"]
    assert "got '2 of 3 objects in another format by their names'" in problems
    assert "a.csv.metadata (metadata of another tool), b.ORC (ORC). Convert or remove them" in problems


def test_objects_with_a_shared_output_are_refused() -> None:
    keys = ["a.csv", "b.csv.parquet", "a.parquet", "c.jsonl"]
    assert pin(*keys) == (keys, "")
    _, problems = pin("a.csv", "a.csv.parquet", "b.parquet")
    assert "a.csv, a.csv.parquet" in problems
    assert pin("a", "a.json", "a.JSON", "A.csv", "a.CSV", "a.pq")[1] == ""
    _, problems = pin("a", "a.parquet")
    assert "a, a.parquet" in problems
