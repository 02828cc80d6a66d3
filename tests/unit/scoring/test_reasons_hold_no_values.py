"""No value of the data leaves the container in a reason; the quarantine and the log have it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeRegressor

from contract.catalog.model_fields import Feature
from contract.layout import output_key
from scoring.errors import describe_error
from tests.unit.scoring.support.job_folder import JobFolder, failure_reasons, joblib_saver

CANARY = "123-45-6789"
NUMBER = 9_007_199_254_740_993
"""A number that a double cannot hold."""
FEATURES = (Feature("name", "string"), Feature("amount", "double"))
CODE = """
def model_fn(model_dir):
    return None

def predict_fn(data, model):
    for name in data["name"]:
        if name is not None and "123-45" in name:
            raise ValueError(f"could not convert {name!r} to float")
    return [[0.0]] * len(data)
"""
GIVES_VALUES = """
import numpy as np
import pandas as pd

def model_fn(model_dir):
    return None

def predict_fn(data, model):
    return np.array([[name] for name in data["name"]], dtype=object)
"""


def rows_of(name: str, amount: Any = 1.0) -> pa.Table:
    names = ["a"] * 20
    names[7] = name
    amounts = [1] * 20
    amounts[7] = amount
    return pa.table({"name": names, "amount": pa.array(amounts)})


def csv_of(table: pa.Table, *extra: str) -> bytes:
    lines = ["name,amount", *(f"{row['name']},{row['amount']}" for row in table.to_pylist()), *extra]
    return "\n".join(lines).encode() + b"\n"


def json_of(table: pa.Table, *extra: str) -> bytes:
    return "\n".join([*map(json.dumps, table.to_pylist()), *extra]).encode() + b"\n"


ONE_BAD_ROW: dict[str, pa.Table | bytes] = {
    "predict.parquet": rows_of(CANARY),
    "predict.csv": csv_of(rows_of(CANARY)),
    "predict.jsonl": json_of(rows_of(CANARY)),
    "cast.parquet": rows_of("a", NUMBER),
    "cast.csv": csv_of(rows_of("a"), f"a,{CANARY}"),
    "cast.jsonl": json_of(rows_of("a"), json.dumps({"name": "a", "amount": CANARY})),
    "kind.jsonl": json_of(rows_of("a"), json.dumps({"name": {CANARY: 1}, "amount": 1})),
    "field.jsonl": json_of(rows_of("a"), *['{"name":"a","amount":1.0}'] * 50_000, json.dumps({CANARY: 1})),
    "broken.jsonl": json_of(rows_of("a"), f'{{"name":"{CANARY}'),
    "quote.csv": csv_of(rows_of("a"), f'"{CANARY}" x,1'),
    "cells.csv": csv_of(rows_of("a"), f"{CANARY},1,{CANARY}"),
    "bytes.csv": csv_of(rows_of("a"), CANARY + ",") + b"\xff," + CANARY.encode() + b"\n",
}
UNREADABLE: dict[str, pa.Table | bytes] = {
    "no-header.csv": f"{CANARY},{CANARY},1\n".encode(),
    "header-quote.csv": f'"{CANARY}" x,amount\n'.encode(),
    "no-object.jsonl": f"{CANARY}\n".encode(),
    "array.jsonl": f'["{CANARY}"]\n'.encode(),
    "text.parquet": CANARY.encode(),
    "text.csv.gz": CANARY.encode(),
}


def add_code(job: JobFolder, model_id: str, code: str, **fields: Any) -> None:
    def save(path: Path) -> None:
        (path.parent / "code").mkdir()
        (path.parent / "code" / "inference.py").write_text(code)
        path.write_text("")

    job.add_model(model_id, save, features=FEATURES, declared="custom", custom_code=True, **fields)


def add_encoder(job: JobFolder, model_id: str, **fields: Any) -> None:
    """Add a model that refuses categories which it does not know, and names them."""
    frame = pd.DataFrame({"name": ["a", "b"], "amount": [1.0, 2.0]})
    model = make_pipeline(OrdinalEncoder(), DecisionTreeRegressor()).fit(frame, [0.0, 1.0])
    job.add_model(model_id, joblib_saver(model), features=FEATURES, **fields)


def quarantined(job: JobFolder, model_id: str, key: str) -> list[dict[str, Any]]:
    name = key if key.endswith(".parquet") else f"{key}.parquet"
    path = job.paths.quarantine / output_key(model_id, name)
    with pq.ParquetFile(path) as file:
        return file.read().to_pylist()  # type: ignore[no-any-return]


def has_value(text: str) -> bool:
    return CANARY in text or "123-45" in text or str(NUMBER) in text or CANARY.encode().hex(" ")[:11] in text


@pytest.mark.parametrize("fraction", [0.0, 0.00001])
def test_a_failed_object_names_no_value_but_the_log_does(job: JobFolder, fraction: float) -> None:
    for key, content in {**ONE_BAD_ROW, **UNREADABLE}.items():
        job.add_object(key, content)
    add_code(job, "raises", CODE, tolerated_quarantine_fraction=fraction)
    add_code(job, "values", GIVES_VALUES, tolerated_quarantine_fraction=fraction)
    add_encoder(job, "encodes", tolerated_quarantine_fraction=fraction)
    job.write_spec()

    ended = job.run()

    assert ended.returncode == 1
    reasons = failure_reasons(ended)
    assert reasons.keys() == {**ONE_BAD_ROW, **UNREADABLE}.keys()
    assert [key for key, reason in reasons.items() if has_value(reason)] == []
    assert not has_value(job.message)
    assert not has_value(ended.stdout)
    assert "(ValueError at inference.py:8)" in reasons["predict.csv"]
    assert "row 7" in reasons["predict.parquet"]
    assert "sklearn.preprocessing" in reasons["predict.parquet"]
    assert re.search(
        r"gave predictions of dtype object that do not fit .* its text is in the job's log", reasons["predict.csv"]
    )
    for text in (f"could not convert '{CANARY}' to float", f"Found unknown categories ['{CANARY}']", str(NUMBER)):
        assert text in ended.stderr
    for key in ("cast.csv", "cast.jsonl"):
        assert "that is not double" in reasons[key]
        assert "the value is in the job's log" in reasons[key]


def test_the_quarantine_has_the_values(job: JobFolder) -> None:
    for key, content in ONE_BAD_ROW.items():
        job.add_object(key, content)
    add_code(job, "raises", CODE, tolerated_quarantine_fraction=1.0)
    add_encoder(job, "encodes", tolerated_quarantine_fraction=1.0)
    job.write_spec()

    events = job.score()

    assert not has_value(json.dumps(events))
    for path in job.paths.ledger.iterdir():
        assert not has_value(path.read_text(encoding="utf-8")), path
    for key in ONE_BAD_ROW:
        bad = quarantined(job, "raises", key)
        assert any(has_value(row["reason"] + row["raw"]) for row in bad), key
    for key in ("predict.parquet", "predict.csv", "predict.jsonl"):
        (row,) = quarantined(job, "raises", key)
        assert row["reason"].endswith(f"(ValueError at inference.py:8): could not convert '{CANARY}' to float")
        (row,) = quarantined(job, "encodes", key)
        assert f"Found unknown categories ['{CANARY}']" in row["reason"]


def test_an_error_is_described_by_its_place() -> None:
    def caught(call: Any) -> BaseException:
        try:
            call()
        except Exception as error:
            return error
        raise AssertionError

    # The last line of code that is not of a library is in this file.
    place = r"at test_reasons_hold_no_values.py:\d+"
    assert re.fullmatch(rf"ValueError {place}", describe_error(caught(lambda: float(CANARY))))
    assert re.fullmatch(rf"ArrowInvalid {place}", describe_error(caught(lambda: pa.array([CANARY]).cast("int32"))))
    assert re.fullmatch(rf"ValueError {place}", describe_error(caught(lambda: np.array([CANARY]).astype(float))))
    missing = describe_error(caught(lambda: Path(f"/{CANARY}").read_text()))
    assert re.fullmatch(rf"FileNotFoundError \(No such file or directory\) {place}", missing)
