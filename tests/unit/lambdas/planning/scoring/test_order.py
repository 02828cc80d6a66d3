"""The order in which jobs take their places."""

from dataclasses import replace

from contract.catalog.models import Compute, ModelVersion
from contract.job.scoring_spec import PinnedObject
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.planning.capacity.basis import PlanningBasis
from lambdas.planning.capacity.choose import CapacityPlanner
from lambdas.planning.scoring.form_groups import form_groups
from lambdas.planning.scoring.form_jobs import form_jobs, in_order
from lambdas.stage.settings import PlanDefaults
from tests.unit.lambdas.builders import REGION, STAGE_COMPUTE, any_model_spec, assign, snapshots_of

GB = 10**9
COMPUTE = replace(STAGE_COMPUTE, instance_count=1)
SCARCE, OTHER = Compute(instance_type="ml.m5.xlarge"), Compute(instance_type="ml.m5.2xlarge")


def test_a_job_that_would_wait_for_its_type_keeps_no_place_from_others() -> None:
    """Jobs on the small type are longer, and only one of them can run at once."""
    models = {"a": SCARCE, "b": SCARCE, "c": SCARCE, "d": OTHER, "e": OTHER}
    versions = [
        ModelVersion(spec=any_model_spec(name, columns="all"), dataset="d", compute=compute)
        for name, compute in models.items()
    ]
    request = ExecutionRequest(objective="cost", max_concurrency=2)
    snapshots = snapshots_of({"d": [PinnedObject("0.parquet", 5 * GB, "etag")]})
    groups = form_groups(request, assign(*versions), snapshots, COMPUTE, is_planned=True)
    basis = PlanningBasis(REGION, quotas={"ml.m5.xlarge": 1, "ml.m5.2xlarge": 1})
    jobs = form_jobs(groups, CapacityPlanner(request, PlanDefaults(COMPUTE, 20, 100, 100, 100, ()), basis, None))
    types = [job.compute.instance_type or COMPUTE.instance_type for job in in_order(jobs)]
    assert types[:2] == ["ml.m5.xlarge", "ml.m5.2xlarge"]
    starts = [job.order[0] for job in jobs]
    assert starts == sorted(starts)
    assert max(starts) > 0
