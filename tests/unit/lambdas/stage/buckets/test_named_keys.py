"""Named keys are found with few listings if they follow each other, and with one each otherwise."""

import random
from dataclasses import dataclass

import pytest

from lambdas.stage.buckets.named_keys import find_named, order


@dataclass(frozen=True)
class Listed:
    key: str


class Bucket:
    """Keys in S3's order, and a count of the calls."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = sorted(keys, key=order)
        self.calls = 0

    def find(self, key: str) -> Listed | None:
        self.calls += 1
        return Listed(key) if key in self.keys else None

    def list_after(self, key: str, count: int) -> list[Listed]:
        assert 0 < count <= 1_000
        self.calls += 1
        return [Listed(found) for found in self.keys if order(found) > order(key)][:count]

    def found(self, keys: list[str]) -> list[str]:
        self.calls = 0
        return [entry.key for entry in find_named(sorted(keys, key=order), self.find, self.list_after)]


def names(count: int) -> list[str]:
    return [f"part-{number:06d}.parquet" for number in range(count)]


def test_keys_that_follow_each_other_need_few_listings() -> None:
    bucket = Bucket(names(5_000))
    assert bucket.found(names(5_000)) == names(5_000)
    assert bucket.calls <= 8


def test_missing_keys_need_no_call_each() -> None:
    bucket = Bucket(names(10))
    assert bucket.found([f"{name}.missing" for name in names(5_000)]) == []
    assert bucket.calls <= 8


def test_keys_far_from_each_other_need_about_one_call_each() -> None:
    bucket = Bucket(names(20_000))
    wanted = names(20_000)[::100]
    assert bucket.found(wanted) == wanted
    assert bucket.calls <= len(wanted) + 10


@pytest.mark.parametrize("seed", range(20))
def test_any_keys_are_found(seed: int) -> None:
    chosen = random.Random(seed)
    pool = ["".join(chosen.choices("ab/\U0001f600é\n", k=chosen.randint(1, 5))) for _ in range(2_000)]
    bucket = Bucket(list(set(chosen.sample(pool, chosen.choice([0, 3, 50, 1_500])))))
    wanted = list(set(chosen.sample(pool, chosen.choice([1, 7, 60, 900]))))
    assert bucket.found(wanted) == sorted(set(wanted) & set(bucket.keys), key=order)
