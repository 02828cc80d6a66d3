"""Contenders are compared only when they give the same predictions."""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.comparison.compare import Cell, DifferentAnswersError, _answer, _compare_answers, _run, compare
from benchmarks.comparison.measure import Usage
from benchmarks.comparison.question import rows
from benchmarks.workloads.workload import Workload, prepare

TINY = Workload("tiny", (300, 200), ("light", "light"), features=5, group_rows=100)
FLEET = Workload("fleet", (300, 200), ("light",), features=5, routes=3)


def test_contenders_that_give_the_same_answer_are_compared(tmp_path: Path) -> None:
    # Two of them, because each is a process that loads its libraries. `make bench` runs all.
    contenders = ("article", "fleetscore")
    cell = compare(TINY, contenders, repetitions=1, cache=tmp_path)
    assert {name: len(usages) for name, usages in cell.usages.items()} == {"article": 1, "fleetscore": 1}
    assert len(rows(cell, contenders)) == 2


@pytest.mark.parametrize("kept", [slice(0, 299), slice(1, 300)])
def test_a_lost_row_is_detected(tmp_path: Path, kept: slice) -> None:
    prepared = prepare(TINY, tmp_path / "cache")
    target = tmp_path / "output" / "model-0000"
    target.mkdir(parents=True)
    for path in prepared.objects:
        table = pq.read_table(path).append_column("prediction", [np.zeros(pq.read_metadata(path).num_rows, "int64")])
        pq.write_table(table.slice(kept.start, kept.stop - kept.start), target / path.name)
    with pytest.raises(DifferentAnswersError, match="lost or doubled"):
        _answer("article", tmp_path / "output", "model-0000", prepared)


def test_a_different_prediction_is_detected() -> None:
    right, wrong = np.array([0, 1, 1]), np.array([0, 1, 0])
    with pytest.raises(DifferentAnswersError, match="fleetscore on tiny, model 0: 1 predictions differ"):
        _compare_answers(TINY, {"article": [(right, 1.0)], "fleetscore": [(wrong, 1.0)]})


def test_a_changed_input_column_is_detected() -> None:
    same = np.array([0, 1, 1])
    with pytest.raises(DifferentAnswersError, match="a column that no model reads has changed"):
        _compare_answers(TINY, {"article": [(same, 1.0)], "fleetscore": [(same, 2.0)]})


def test_each_row_of_a_fleet_is_scored_by_the_model_of_its_route(tmp_path: Path) -> None:
    prepared = prepare(FLEET, tmp_path / "cache")
    output = tmp_path / "output"
    output.mkdir()
    _run("fleets.pandas_apply", prepared, output, tmp_path)
    found = _answer("fleets.pandas_apply", output, "fleet", prepared)
    frame = pd.concat([pd.read_parquet(path) for path in prepared.objects])
    models = [joblib.load(folder / "model.joblib") for folder in prepared.model_folders]
    by_model = np.stack([model.predict(frame[FLEET.feature_names]) for model in models])
    routes = frame["route"].str.removeprefix("model-").astype(int).to_numpy()
    rows_of = np.arange(FLEET.total_rows)
    assert np.array_equal(found[0], by_model[routes, rows_of])
    of_the_next = by_model[(routes + 1) % FLEET.routes, rows_of]
    with pytest.raises(DifferentAnswersError, match="predictions differ"):
        _compare_answers(FLEET, {"right": [found], "wrong": [(of_the_next, found[1])]})


def test_ratios_are_taken_within_a_repetition() -> None:
    def usage(wall: float) -> Usage:
        return Usage(0, wall, wall, 100, 0.0, 0.0)

    cell = Cell(TINY, {"article": [usage(2.0), usage(40.0)], "fleetscore": [usage(1.0), usage(10.0)]})
    assert cell.ratio("article", "fleetscore", "wall") == (3.0, 2.0, 4.0)
