"""The rows that a training holds out, computed with pandas."""

from collections.abc import Mapping

import pandas as pd

from contract.training.training_spec import TrainingSpec
from training.data.holdout import row_numbers


def held_out_rows(spec: TrainingSpec, frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the held-out rows of these objects, in their order; each class has at most 10,000 rows."""
    numbered = [frame.assign(number=row_numbers(spec.seed, key, 0, len(frame))) for key, frame in frames.items()]
    rows = pd.concat(numbered, ignore_index=True)
    if spec.task == "regression":
        held = rows["number"] < spec.holdout_fraction * 2**53
    else:
        grouped = rows.groupby(spec.label)["number"]
        wanted = (grouped.transform("size") * spec.holdout_fraction).round()
        held = grouped.rank() <= wanted.clip(lower=1)
    return rows[held].drop(columns="number")
