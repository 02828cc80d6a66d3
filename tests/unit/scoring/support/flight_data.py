"""Synthetic flights to train on and to score."""

import numpy as np
import pandas as pd


def make_flights(rows: int, seed: int) -> pd.DataFrame:
    """Return rows with a key, numeric and text features that contain nulls, and a target."""
    random = np.random.default_rng(seed)
    delay = random.normal(10, 30, rows).round()
    delay[random.random(rows) < 0.1] = np.nan
    carrier = pd.Series(random.choice(["AA", "B6", "UA"], rows), dtype="str")
    carrier[random.random(rows) < 0.1] = None
    return pd.DataFrame(
        {
            "flight_id": np.arange(rows, dtype="int64") + seed * 1_000_000,
            "distance": random.uniform(100, 3_000, rows),
            "delay": delay,
            "hour": random.integers(0, 24, rows).astype("int32"),
            "carrier": carrier,
            "late": (np.nan_to_num(delay) + random.normal(0, 5, rows) > 15).astype("int64"),
        }
    )
