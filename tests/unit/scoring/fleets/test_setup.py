"""An instance loads the models that its objects need, in whatever form their keys have the routes."""

from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.catalog.model_fields import Feature
from contract.job.fleet import FleetSpec
from contract.job.fleet_keys import needed_members
from tests.unit.scoring.support.fleets import fleet_in_process
from tests.unit.scoring.support.in_process import FunctionModel, model_spec, score_in_process
from tests.unit.scoring.support.job_folder import JobFolder

FORMS = [
    "7",
    "007",
    "+7",
    "7.0",
    "7.",
    "7e0",
    "70e-1",
    "0x7",
    " 7",
    "7\t",
    "-0",
    "-0.0",
    "0",
    "1_0",
    "\uff17",
    "7\n",
    "\u00a07",
]
FORMS += ["\uff17", "7\n", "\u00a07", "", "x", "7.5", "18446744073709551616", "9" * 5_000]
ROUTES = {"7": "seven", "0": "zero", "10": "ten"}


@pytest.mark.parametrize("unmatched", ["skip", "quarantine", "model:rest"])
@pytest.mark.parametrize("route_type", ["int64", "string"])
@pytest.mark.parametrize("value", FORMS)
def test_the_model_that_scores_an_object_is_among_those_of_its_key(
    job: JobFolder, value: str, route_type: str, unmatched: str
) -> None:
    ids = ["first", *ROUTES.values(), "rest"]
    fields = {"tolerated_quarantine_fraction": 1.0}
    specs = [model_spec(Feature("x", "double"), model_id=model_id, **fields) for model_id in ids]
    fleet = FleetSpec("sales", "store", {**ROUTES, "1": "first"}, unmatched, route_type=route_type, in_key=True)  # type: ignore[arg-type]
    key = f"store={quote(value, safe='')[:200]}/a.parquet"
    models, setup = fleet_in_process(fleet, {spec: FunctionModel(lambda matrix: matrix[:, 0]) for spec in specs})
    job.add_object(key, pa.table({"x": [1.0]}))
    score_in_process(job, models, **setup)
    outputs = [output for commit in job.commits() for output in commit.outputs if output.kind == "predictions"]
    scored_by: set[str] = set()
    for output in outputs:
        with pq.ParquetFile(job.paths.predictions / output.key) as file:
            scored_by |= set(file.read()["model_id"].to_pylist())
    assert scored_by <= {spec.model_id for spec in needed_members(fleet, specs, [key])}
