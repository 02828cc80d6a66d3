"""The lines about reading predictions, taken from the documentation, read what the latest executions wrote."""

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LinearRegression, LogisticRegression

from tests.e2e.clients.test_documented_clients import CLIENT_PROGRAMS, INSTALL_HTTPFS, Shell, block, blocks
from tests.e2e.stage import Stage, features_of, people, train_xgboost

PAGE = "docs/learn/read-predictions.md"
CLIENTS = "docs/reference/embedded-aws-clients.md"
DATASET = "mixed-people"
ROWS = 30
READERS = ("pandas", "pyarrow", "Polars", "awswrangler")
KINDS = {
    "mixed-float": "prediction",
    "mixed-double": "prediction",
    "mixed-odds": "prediction_0",
    "mixed-class": "class",
    "mixed-label": "label",
}
"""A prediction column of each model: of a float, a double, one per class, a whole number, and a text."""


@pytest.fixture(scope="module")
def shell(stage: Stage) -> Shell:
    return Shell(stage, CLIENT_PROGRAMS)


@pytest.fixture(scope="module")
def mixed(stage: Stage) -> Iterator[Mapping[str, str]]:
    """Score with five models whose predictions are of different kinds, twice; yield the variables of the page.

    Only one model is scored again, so the latest predictions are in two executions.
    """
    table = people(ROWS, 1)
    frame = features_of(table).fillna(0.0)
    late = (frame["visits"] > 15).to_numpy()
    models = {
        "mixed-float": (xgboost.XGBRegressor(n_estimators=3, n_jobs=1).fit(frame, frame["spend"]), "predict", ()),
        "mixed-double": (LinearRegression().fit(frame, frame["spend"]), "predict", ()),
        "mixed-odds": (train_xgboost(1), "predict_proba", ()),
        "mixed-class": (LogisticRegression().fit(frame, late.astype(np.int64)), "predict", ("class",)),
        "mixed-label": (LogisticRegression().fit(frame, np.where(late, "late", "early")), "predict", ("label",)),
    }
    filled = table.set_column(2, "spend", table["spend"].fill_null(0.0))
    stage.put_dataset(DATASET, {"a.parquet": filled.slice(0, 10), "b.parquet": filled.slice(10)})
    for model_id, (model, method, columns) in models.items():
        stage.register(model_id, model, dataset=DATASET, method=method, output_columns=columns)
    # In one job: each container takes seconds to import its libraries.
    request = {"dataset": DATASET, "models": sorted(models), "models_per_job": len(models)}
    assert stage.run(request, "mixed-1").status == "SUCCEEDED"
    assert stage.run({"dataset": DATASET, "models": ["mixed-float"]}, "mixed-2").status == "SUCCEEDED"
    yield {"RESULTS": f"s3://{stage.deployment.results_bucket}"}
    for model_id in models:
        stage.catalog.set_enabled(model_id, enabled=False)


def lines(reader: str, *, all_models: bool, model_id: str = "") -> str:
    """Return the page's lines for a reader, which make `frame` or `table`."""
    names = {"dataset=customers": f"dataset={DATASET}", "model_id=churn": f"model_id={model_id}"}
    python = blocks(PAGE, "python")
    setups = [body for body in python if body.startswith("import json")]
    setup = setups[1 if all_models else 0]
    body = [body for body in python if body.startswith(f"# {reader}\n")][1 if all_models else 0]
    text = setup + body
    for name, here in names.items():
        text = text.replace(name, here)
    return text


SHOW = """
import json
found = table.to_pandas() if "table" in dir() else frame
found = found if hasattr(found, "iloc") else found.to_pandas()
found = found.astype(object).where(found.notna(), None)
added = [name for name in found.columns if name.startswith(("prediction", "class", "label"))]
values = {name: sorted(found[name].dropna().tolist()) for name in added}
print(json.dumps({"rows": len(found), "columns": sorted(found.columns), "values": values}))
"""


def read(shell: Shell, *scripts: str, variables: Mapping[str, str]) -> list[dict[str, object]]:
    """Return what each script reads, in one process: most of its time are imports."""
    text = "".join(script + SHOW for script in scripts)
    printed = shell(f"{shlex.quote(sys.executable)} -c {shlex.quote(text)}", **variables)
    return [json.loads(line) for line in printed.splitlines()[-len(scripts) :]]


def needed(reader: str) -> None:
    if reader == "awswrangler":
        pytest.importorskip("awswrangler", reason="`make test` installs it", exc_type=ImportError)


@pytest.mark.parametrize("reader", READERS)
def test_the_latest_predictions_of_a_model_and_of_all_models(
    shell: Shell, mixed: Mapping[str, str], reader: str
) -> None:
    needed(reader)
    scripts = lines(reader, all_models=False, model_id="mixed-label"), lines(reader, all_models=True)
    found, every = read(shell, *scripts, variables=mixed)
    assert found["rows"] == ROWS
    assert {"row", "age", "spend", "visits", "name", "notes", "label"} <= set(found["columns"])
    assert set(found["values"]["label"]) == {"early", "late"}
    check_mixed(every, mixed)


def check_mixed(found: Mapping[str, object], mixed: Mapping[str, str]) -> None:
    """Check that a table has all rows of the latest predictions, with all columns and their values."""
    assert found["rows"] == len(KINDS) * ROWS
    values = found["values"]
    assert {name: len(column) for name, column in values.items()} == {
        "prediction": 2 * ROWS, "prediction_0": ROWS, "prediction_1": ROWS, "class": ROWS, "label": ROWS
    }  # fmt: skip
    assert "model_id" in found["columns"]
    assert {type(value) for value in values["prediction"]} == {float}
    assert set(values["class"]) == {0, 1}
    np.testing.assert_allclose(np.add(values["prediction_0"], values["prediction_1"][::-1]), 1, atol=1e-6)


def test_duckdb_reads_the_latest_predictions(
    shell: Shell, mixed: Mapping[str, str], tmp_path: Path, stage: Stage
) -> None:
    connect = block(CLIENTS, "LOAD httpfs", language="python").partition("predictions = ")[0]
    replaced = {"s3://…": f"s3://{stage.deployment.results_bucket}", "dataset=customers": f"dataset={DATASET}"}
    queries = blocks(PAGE, "sql")
    script = INSTALL_HTTPFS + connect
    for query in queries:
        for name, here in {**replaced, "model_id=churn": "model_id=mixed-float"}.items():
            query = query.replace(name, here)  # noqa: PLW2901
        set_files, select = query.strip().removesuffix(";").split(";\n")
        script += f"duckdb.sql('''{set_files}''')\nrows = duckdb.sql('''{select}''').fetchall()\nprint(len(rows))\n"
    script += """
counts = "count(prediction), count(prediction_0), count(class), count(label), count(DISTINCT model_id)"
rows = "read_parquet(getvariable('files'), hive_partitioning = true, union_by_name = true)"
print(*duckdb.sql(f"SELECT {counts} FROM {rows}").fetchone())
"""
    python = shlex.quote(str(CLIENT_PROGRAMS / "python"))
    printed = shell(f"{python} -c {shlex.quote(script)}", **mixed, HOME=str(tmp_path)).split("\n")
    assert printed[:2] == [str(ROWS), str(len(KINDS) * ROWS)]
    assert [int(count) for count in printed[2].split()] == [2 * ROWS, ROWS, ROWS, ROWS, len(KINDS)]


def test_a_download_has_the_latest_predictions_only(shell: Shell, mixed: Mapping[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shell(f"fleetscore predictions --dataset {DATASET} --download {folder}")
    executions = {path.name for path in folder.glob(f"predictions/dataset={DATASET}/*")}
    assert executions == {"execution_id=mixed-1", "execution_id=mixed-2"}
    script = f"""
import pathlib, polars
paths = pathlib.Path({str(folder)!r}).rglob("*.parquet")
parts = [polars.scan_parquet(path, hive_partitioning=True) for path in paths]
frame = polars.concat(parts, how="diagonal_relaxed").collect()
"""
    [found] = read(shell, script, variables=mixed)
    check_mixed(found, mixed)
    rerun = list(folder.rglob("execution_id=mixed-2/**/*.parquet"))
    assert {path.name for path in rerun} == {"a.parquet", "b.parquet"}
    assert {path.parent.name for path in rerun} == {"model_id=mixed-float"}


def test_every_block_of_the_page_has_a_test() -> None:
    python = [body.partition("\n")[0] for body in blocks(PAGE, "python")]
    each = ["import json, os", *(f"# {reader}" for reader in READERS)]
    assert python == each * 2
    assert len(blocks(PAGE, "sql")) == 2
