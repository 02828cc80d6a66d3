"""Checks of a fleet that need no stage; those of the plan are in `test_fleet_plans`."""

from dataclasses import replace

import pytest

from contract.catalog.fleets import FleetRecord
from contract.catalog.models import ModelVersion
from contract.job.fleet_checks import fleet_spec
from contract.problems import InvalidInputError
from tests.unit.lambdas.builders import any_model_spec

RECORD = FleetRecord(fleet_id="stores", dataset="sales", route_by="store")
MEMBER = ModelVersion(spec=any_model_spec("s-1"), dataset="sales", fleet="stores", route=("1",))


def test_ten_thousand_models_are_a_fleet_and_their_routes_are_found() -> None:
    members = [
        replace(MEMBER, spec=replace(MEMBER.spec, model_id=f"s-{number}"), route=(f"{number}", f"{number}b"))
        for number in range(10_000)
    ]
    spec, problems = fleet_spec(RECORD, members)
    assert problems == []
    assert spec is not None
    assert (len(spec.routes), spec.routes["9999b"]) == (20_000, "s-9999")


def test_more_models_than_a_jobs_spec_can_hold_are_refused() -> None:
    _, [problem] = fleet_spec(RECORD, [MEMBER] * 200_000)
    assert "200,000 models with specs and routes of about" in str(problem)
    assert "at most 100,000,000 bytes in a job's spec" in str(problem)


@pytest.mark.parametrize("unmatched", ["", "drop", "model:", "model:No"])
def test_a_record_with_another_treatment_of_unmatched_rows_is_refused(unmatched: str) -> None:
    with pytest.raises(InvalidInputError, match="unmatched"):
        replace(RECORD, unmatched=unmatched)


def test_routes_without_a_fleet_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="route"):
        replace(MEMBER, fleet="")
