"""The choice of held-out rows depends only on seed, object and row position."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.holdout import held_out

keys = st.text(min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31 - 1), keys, st.floats(0, 0.5), st.lists(st.integers(0, 60), max_size=6))
def test_held_out_rows_do_not_depend_on_the_batches(seed: int, key: str, fraction: float, sizes: list[int]) -> None:
    whole = held_out(seed, key, 0, sum(sizes), fraction)
    starts = np.cumsum([0, *sizes])
    parts = [held_out(seed, key, int(start), size, fraction) for start, size in zip(starts, sizes, strict=False)]
    np.testing.assert_array_equal(np.concatenate([*parts, []]).astype(bool), whole)


def test_about_the_given_fraction_is_held_out() -> None:
    for fraction in (0.05, 0.2, 0.5):
        shares = [held_out(seed, "a.parquet", 0, 200_000, fraction).mean() for seed in range(3)]
        assert np.allclose(shares, fraction, atol=0.005)
    assert not held_out(1, "a.parquet", 0, 200_000, 0.0).any()


def test_seeds_and_objects_split_differently() -> None:
    one = held_out(1, "a.parquet", 0, 1_000, 0.5)
    assert not np.array_equal(one, held_out(2, "a.parquet", 0, 1_000, 0.5))
    assert not np.array_equal(one, held_out(1, "b.parquet", 0, 1_000, 0.5))


def test_the_split_is_the_same_as_in_the_first_release() -> None:
    """A model that is trained again on the same rows is measured on the same held-out rows."""
    assert np.flatnonzero(held_out(7, "2013/01.parquet", 0, 40, 0.2)).tolist() == FIRST_RELEASE


FIRST_RELEASE = [6, 7, 11, 17, 21, 25, 30, 39]
