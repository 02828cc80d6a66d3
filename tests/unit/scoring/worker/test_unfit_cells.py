"""A cell that is bad for one model of a job costs the others no row."""

import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from contract.catalog.model_spec import ModelSpec
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

AGE, VISITS = Feature("age", "double"), Feature("visits", "int32")
ROWS: list[dict[str, Any]] = [
    {"id": 0, "age": 40, "visits": 1},
    {"id": 1, "age": "old", "visits": 2},
    {"id": 2, "age": 42, "visits": "many"},
    {"id": 3, "age": 43, "visits": 4},
    {"id": 4, "age": "old", "visits": "many"},
]
OBJECTS = {
    "a.csv": "id,age,visits\n" + "".join(f"{row['id']},{row['age']},{row['visits']}\n" for row in ROWS) + "5,44\n",
    "a.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS) + "[]\n",
}
BY_AGE = model_spec(AGE, model_id="age", tolerated_quarantine_fraction=0.9)
BY_VISITS = model_spec(
    VISITS, model_id="visits", columns="keys", key_columns=("id",), tolerated_quarantine_fraction=0.9
)
BY_BOTH = model_spec(AGE, VISITS, model_id="both", tolerated_quarantine_fraction=0.9)
NOTE = "column {!r} is a feature of another model of the job; cells that its type cannot hold are null"


def _score(job: JobFolder, key: str, *specs: ModelSpec, batch_rows: int = 65_536, text: str = "") -> None:
    job.add_object(key, (text or OBJECTS[key]).encode())
    models = {spec: FunctionModel(lambda matrix: matrix[:, 0]) for spec in specs}
    [done] = score_in_process(job, models, batch_rows=batch_rows)
    assert done.failures == ()


@pytest.mark.parametrize("batch_rows", [1, 2, 65_536])
@pytest.mark.parametrize("key", OBJECTS)
def test_a_model_keeps_rows_whose_cells_only_others_cannot_read(job: JobFolder, key: str, batch_rows: int) -> None:
    _score(job, key, BY_AGE, BY_VISITS, BY_BOTH, batch_rows=batch_rows)
    age, visits, both = (job.output(name, f"{key}.parquet").to_pylist() for name in ("age", "visits", "both"))
    assert [(row["id"], row["age"], row["visits"]) for row in age] == [("0", 40, 1), ("2", 42, None), ("3", 43, 4)]
    assert [(row["id"], row["prediction"]) for row in visits] == [("0", 1), ("1", 2), ("3", 4)]
    assert [row["id"] for row in both] == ["0", "3"]
    assert job.commit("age", key).counts == {NOTE.format("visits"): 1}
    assert job.commit("visits", key).counts == job.commit("both", key).counts == {}


@pytest.mark.parametrize("key", OBJECTS)
def test_quarantine_has_the_reason_and_the_text_of_the_row(job: JobFolder, key: str) -> None:
    _score(job, key, BY_AGE, BY_VISITS)
    [path] = (path for path in job.paths.quarantine.rglob("*.parquet") if "model_id=visits" in path.parts)
    with pq.ParquetFile(path) as file:
        rows = {row["row"]: row for row in file.read().to_pylist()}
    assert sorted(rows) == [2, 4, 5]
    assert "'visits' that is not int32" in rows[2]["reason"]
    assert rows[2]["raw"] == OBJECTS[key].splitlines()[2 + key.endswith("csv")]


def test_an_intolerant_model_fails_alone(job: JobFolder) -> None:
    job.add_object("a.csv", b"age,visits\n1,2\n1,many\n")
    specs = [model_spec(AGE, model_id="age"), model_spec(VISITS, model_id="visits")]
    [done] = score_in_process(job, {spec: FunctionModel(lambda matrix: matrix[:, 0]) for spec in specs})
    assert [failure.model_id for failure in done.failures] == ["visits"]


def test_bytes_that_are_not_text_cost_only_the_models_that_read_them(job: JobFolder) -> None:
    plan = Feature("plan", "string")
    job.add_object("a.csv", b"age,plan\n1,a\n2,\xff\n3,\0\n")
    job.add_object("a.jsonl", b'{"age":1,"plan":"a"}\n{"age":2,"plan":"\xff"}\n{"age":3,"plan":"\\ud800"}\n')
    by_plan = model_spec(plan, model_id="plan", tolerated_quarantine_fraction=0.9)
    models = {BY_AGE: FunctionModel(lambda matrix: matrix[:, 0]), by_plan: _Ones()}
    assert [done.failures for done in score_in_process(job, models)] == [(), ()]
    for key in ("a.csv", "a.jsonl"):
        assert job.output("age", f"{key}.parquet").select(["age", "plan"]).to_pydict() == {
            "age": [1, 2, 3],
            "plan": ["a", None, None],
        }
        assert job.output("plan", f"{key}.parquet")["age"].to_pylist() == [1]


def test_unfit_cells_do_not_make_a_column_of_integers_one_with_nulls(job: JobFolder) -> None:
    """Nulls decide the dtype that a model gets."""
    seen: list[bool] = []

    class Model(_Ones):
        def predict(self, batch: Any) -> Any:
            seen.append("visits" in batch.with_nulls)
            return super().predict(batch)

    job.add_object("a.csv", OBJECTS["a.csv"].encode())
    [done] = score_in_process(job, {BY_AGE: FunctionModel(lambda matrix: matrix[:, 0]), BY_VISITS: Model()})
    assert done.failures == ()
    assert seen == [False]


class _Ones(FunctionModel):
    def __init__(self) -> None:
        super().__init__(lambda matrix: matrix)

    def predict(self, batch: Any) -> Any:
        return [1.0] * len(batch.arrays[0])
