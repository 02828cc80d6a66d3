"""Models that load without running code are loaded at registration, as a job would load them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost

from cli import main as entry
from cli.stage.connection import Connection
from tests.unit.cli.builders import make_archive

Captured = pytest.CaptureFixture[str]


def registered(folder: Path, features: str, **options: Any) -> int:
    frame = pd.DataFrame(np.eye(4), columns=["a", "b", "c", "d"])
    booster = xgboost.XGBClassifier(n_estimators=2, **options).fit(frame, [0, 1, 0, 1])
    booster.save_model(folder / "model.ubj")
    make_archive(folder / "model.tar.gz", {"model.ubj": (folder / "model.ubj").read_bytes()})
    words = ["models", "register", "churn", "--artifact", str(folder / "model.tar.gz"), "--dataset", "customers"]
    words += ["--format", "xgboost-sklearn-ubj", "--model-file", "model.ubj", "--method", "predict"]
    return entry.main([*words, "--features", features])


def test_record_that_a_job_would_refuse_is_refused_at_registration(
    account: Connection, tmp_path: Path, capsys: Captured
) -> None:
    assert registered(tmp_path, "a:double,b:double,c:double") == 2
    shown = capsys.readouterr().err
    assert "model_file: got 'model.ubj', expected a model that a job can load with this record" in shown
    assert "the record lacks ['d']" in shown
    assert account.client("s3").list_objects_v2(Bucket="some-models")["KeyCount"] == 0


def test_record_that_fits_is_registered_with_the_version_of_its_file(
    account: Connection, tmp_path: Path, capsys: Captured
) -> None:
    assert account
    assert registered(tmp_path, "a:double,b:double,c:double,d:double") == 0
    assert f"Note: framework_version is {xgboost.__version__}, which the file states\n" in capsys.readouterr().out
