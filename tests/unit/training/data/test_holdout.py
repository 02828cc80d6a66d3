"""The choice of held-out rows depends only on seed, object, row position and class."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.holdout import EXACT_ROWS, ClassLimits, held_out, held_out_of_classes, row_numbers

keys = st.text(min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31 - 1), keys, st.floats(0, 0.5), st.lists(st.integers(0, 60), max_size=6))
def test_held_out_rows_do_not_depend_on_the_batches(seed: int, key: str, fraction: float, sizes: list[int]) -> None:
    whole = held_out(row_numbers(seed, key, 0, sum(sizes)), fraction)
    starts = np.cumsum([0, *sizes])
    parts = [
        held_out(row_numbers(seed, key, int(start), size), fraction) for start, size in zip(starts, sizes, strict=False)
    ]
    np.testing.assert_array_equal(np.concatenate([*parts, []]).astype(bool), whole)


def test_about_the_given_fraction_is_held_out() -> None:
    for fraction in (0.05, 0.2, 0.5):
        shares = [held_out(row_numbers(seed, "a.parquet", 0, 200_000), fraction).mean() for seed in range(3)]
        assert np.allclose(shares, fraction, atol=0.005)
    assert not held_out(row_numbers(1, "a.parquet", 0, 200_000), 0.0).any()


def test_seeds_and_objects_split_differently() -> None:
    one = held_out(row_numbers(1, "a.parquet", 0, 1_000), 0.5)
    assert not np.array_equal(one, held_out(row_numbers(2, "a.parquet", 0, 1_000), 0.5))
    assert not np.array_equal(one, held_out(row_numbers(1, "b.parquet", 0, 1_000), 0.5))


def test_the_split_is_the_same_as_in_the_first_release() -> None:
    """A model that is trained again on the same rows is measured on the same held-out rows."""
    assert np.flatnonzero(held_out(row_numbers(7, "2013/01.parquet", 0, 40), 0.2)).tolist() == FIRST_RELEASE


def split(labels: npt.NDArray[Any], seed: int, fraction: float, batch: int = 700) -> npt.NDArray[np.bool_]:
    """Return the mask of an object's rows, from limits that were found in batches."""
    found = ClassLimits(fraction)
    for start in range(0, len(labels), batch):
        part = labels[start : start + batch]
        found.add(part, row_numbers(seed, "a.parquet", start, len(part)))
    return held_out_of_classes(row_numbers(seed, "a.parquet", 0, len(labels)), labels, found.limits())


def test_rare_classes_are_on_both_sides_for_every_seed() -> None:
    labels = np.zeros(2_000, dtype=np.int64)
    labels[::250] = 1
    assert labels.sum() == 8
    for seed in range(200):
        mask = split(labels, seed, 0.2)
        assert (int(labels[mask].sum()), int(mask.sum())) == (2, 400)


@pytest.mark.parametrize(("rows", "held"), [(1, 0), (2, 1), (3, 1), (10, 2)])
def test_a_small_class_is_never_held_out_as_a_whole(rows: int, held: int) -> None:
    labels = np.array(["rare"] * rows + ["often"] * 100, dtype=object)
    mask = split(labels, 3, 0.2)
    assert int(mask[:rows].sum()) == held


def test_a_split_by_class_does_not_depend_on_the_batches() -> None:
    labels = np.random.default_rng(1).integers(0, 5, 5_000)
    np.testing.assert_array_equal(split(labels, 1, 0.2, batch=64), split(labels, 1, 0.2, batch=5_000))


def test_about_the_fraction_of_a_large_class_is_held_out() -> None:
    labels = np.zeros(EXACT_ROWS * 4, dtype=np.int64)
    mask = split(labels, 1, 0.2)
    np.testing.assert_array_equal(mask, held_out(row_numbers(1, "a.parquet", 0, len(labels)), 0.2))


FIRST_RELEASE = [6, 7, 11, 17, 21, 25, 30, 39]
