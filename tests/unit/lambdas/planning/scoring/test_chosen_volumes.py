"""The planner's volumes hold what the jobs really have, where that differs from what was planned for."""

from dataclasses import replace
from typing import Any

from contract.catalog.models import ModelVersion
from contract.job.scoring_spec import PinnedObject
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.capacity.basis import PlanningBasis
from lambdas.planning.capacity.choose import CapacityPlanner
from lambdas.planning.scoring.check_volumes import check_volumes
from lambdas.planning.scoring.form_groups import form_groups
from lambdas.planning.scoring.form_jobs import PlannedJob, form_jobs
from lambdas.stage.settings import PlanDefaults
from tests.unit.lambdas.builders import REGION, STAGE_COMPUTE, any_model_spec, assign, snapshots_of

GB = 10**9
COMPUTE = replace(STAGE_COMPUTE, instance_count=1)


def planned(request: ExecutionRequest, sizes: list[int], *model_ids: str, **options: Any) -> list[PlannedJob]:
    objects = [PinnedObject(f"{number}.parquet", size, "etag") for number, size in enumerate(sizes)]
    versions = [ModelVersion(spec=any_model_spec(name, columns="all"), dataset="d") for name in model_ids]
    groups = form_groups(request, assign(*versions), snapshots_of({"d": objects}), COMPUTE, is_planned=True, **options)
    defaults = PlanDefaults(COMPUTE, 20, 100, 100, 100, ())
    return form_jobs(groups, CapacityPlanner(request, defaults, PlanningBasis(REGION), None))


def test_the_largest_object_of_a_resumed_execution_fits_although_a_tenth_is_left() -> None:
    request = ExecutionRequest(models_per_job="auto")
    for left in (1.0, 0.1):
        assert check_volumes(planned(request, [90 * GB, *[GB] * 9], "m", left={"m": left})) == []


def test_models_that_the_request_puts_into_one_job_fit_although_the_planner_would_not() -> None:
    """They may take longer than max_runtime_seconds together."""
    (job,) = planned(ExecutionRequest(models_per_job=2, objective="cost"), [100 * GB], "a", "b")
    assert len(job.models) == 2
    assert check_volumes([job]) == []
