"""The failure file of a training, which leaves the container, holds no value of the data; the log does."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from contract.catalog.model_fields import Feature
from tests.unit.training.test_refusals import ONE_OF, QUICK, SKLEARN
from tests.unit.training.training_folder import SCRIPT, TrainingFolder

CANARY = "123-45-6789"
NUMBER = 6_789_123
HUGE = 9_007_199_254_740_993


def changed(row: int, **values: Any) -> pd.DataFrame:
    frame = ONE_OF.astype(dict.fromkeys(values, object))
    for name, value in values.items():
        frame.loc[row, name] = value
    return frame.infer_objects()


REGRESSION = {"label": "value", "task": "regression", "metric": "rmse"}
MULTICLASS = {"task": "multiclass", "metric": "logloss"}
FAILURES: dict[str, tuple[pd.DataFrame, dict[str, Any], str]] = {
    "one class": (ONE_OF.assign(two=NUMBER), {}, "one class only in the rows"),
    "one class of text": (ONE_OF.assign(two=CANARY), SKLEARN, "one class only in the rows"),
    "too many classes": (ONE_OF.assign(two=ONE_OF["three"] * NUMBER), {}, "3 classes, task 'binary' takes two"),
    "classes with gaps": (ONE_OF.assign(two=ONE_OF["two"] * NUMBER), {}, "not numbered from 0"),
    "label with a fraction": (changed(3, two=NUMBER + 0.5), {}, "that is not a class (a whole number)"),
    "label too small": (
        changed(3, value=-float(NUMBER)),
        {**REGRESSION, "hyperparameters": {"objective": "count:poisson"}},
        "labels outside those of objective 'count:poisson'",
    ),
    "feature that does not fit": (
        ONE_OF.assign(a=np.where(ONE_OF.index == 3, HUGE, 1)),
        {"features": (Feature("a", "double"),)},
        "row 3: feature column 'a' of type int64 has a value that double cannot hold",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_refusal_names_no_value_but_the_log_does(job: TrainingFolder, case: str) -> None:
    frame, fields, text = FAILURES[case]
    job.add_object("a.parquet", frame)
    job.write_spec(**{**QUICK, **fields})

    ended = job.run()

    assert ended.returncode == 1
    assert text in job.failure
    for value in (CANARY, "6789", str(HUGE)):
        assert value not in job.failure
        assert value not in ended.stdout
    assert any(value in ended.stderr for value in (CANARY, str(NUMBER), "6.78912e+06", str(HUGE)))


RAISES = f"""
def load(value):
    return float(value)

load("{CANARY}")
"""
WRITES_ITS_FAILURE = f"""
import os, pathlib, sys, traceback
try:
    float("{CANARY}")
except ValueError:
    pathlib.Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("DATA: " + traceback.format_exc())
    sys.exit(1)
"""
PRINTS = f"""
import sys
print("Traceback (most recent call last):\\n{CANARY}: x", file=sys.stderr)
sys.exit(1)
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RAISES, "MODEL: the training script 'train.py' ended with exit code 1 (ValueError at train.py:3)"),
        (WRITES_ITS_FAILURE, "DATA: the training script 'train.py' ended with exit code 1: what it wrote is in"),
        (PRINTS, "MODEL: the training script 'train.py' ended with exit code 1: what it wrote is in"),
    ],
)
def test_a_script_leaves_its_texts_in_the_log(job: TrainingFolder, text: str, expected: str) -> None:
    job.add_object("a.parquet", ONE_OF)
    job.write_spec(**SCRIPT)
    job.add_code({"train.py": text})

    ended = job.run()

    assert job.failure.startswith(expected)
    assert CANARY not in job.failure
    assert CANARY in ended.stdout + ended.stderr
