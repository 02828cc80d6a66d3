"""The planner's volumes of a resumed execution hold whatever objects are left, not only their average."""

from dataclasses import replace

from contract.catalog.models import ModelVersion
from contract.job.scoring_spec import PinnedObject
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.capacity.basis import PlanningBasis
from lambdas.planning.capacity.choose import CapacityPlanner
from lambdas.planning.scoring.check_volumes import check_volumes
from lambdas.planning.scoring.form_groups import form_groups
from lambdas.planning.scoring.form_jobs import form_jobs
from lambdas.stage.settings import PlanDefaults
from tests.unit.lambdas.builders import REGION, STAGE_COMPUTE, any_model_spec, assign, snapshots_of

GB = 10**9
COMPUTE = replace(STAGE_COMPUTE, instance_count=1)
SIZES = (90 * GB, *[GB] * 9)


def test_the_largest_object_fits_although_a_tenth_is_left() -> None:
    objects = [PinnedObject(f"{number}.parquet", size, "etag") for number, size in enumerate(SIZES)]
    version = ModelVersion(spec=any_model_spec("m", columns="all"), dataset="d")
    request = ExecutionRequest(models_per_job="auto")
    for left in (1.0, 0.1):
        groups = form_groups(
            request,
            assign(version),
            snapshots_of({version.dataset: objects}),
            COMPUTE,
            left={"m": left},
            is_planned=True,
        )
        planner = CapacityPlanner(request, PlanDefaults(COMPUTE, 20, 100, 100, 100, ()), PlanningBasis(REGION), None)
        jobs = form_jobs(groups, planner)
        assert check_volumes(jobs) == []
