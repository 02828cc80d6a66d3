"""Plan, simulation and execution of two small fleets agree in the embedded AWS."""

import heapq
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from benchmarks.planning.simulation.execution import Item, Noise, simulate
from benchmarks.planning.simulation.scenarios import STARTUP_SECONDS
from contract import layout
from contract.planner.choose import choose_plan
from contract.planner.estimates import Estimates
from contract.planner.plan import CapacityPlan
from contract.planner.prices import bundled_prices
from contract.planner.problem import Fixed, ModelGroup, ModelWork, PlanningProblem
from contract.status import ExecutionStatus
from embedded.sagemaker.instances.settings import InstanceSettings
from lambdas.stage.tables.estimate_table import EstimateTable
from tests.e2e.stage import Stage, people, train_xgboost

DATASET = "agreeing"
MODELS = tuple(f"agreeing-{number}" for number in range(3))
INSTANCE_TYPE = "ml.r5.xlarge"
"""No other test uses it, so that nothing else has measured it."""
STARTUP = STARTUP_SECONDS
PLACES = 2
BAND = 0.15
"""Largest difference: the work of a container is seconds of a start-up's minutes, also on a busy machine."""


@pytest.fixture(scope="module", autouse=True)
def fleet(stage: Stage) -> Iterator[None]:
    stage.put_dataset(DATASET, {f"{part}.parquet": people(200, part, first_row=200 * part) for part in range(3)})
    for seed, model_id in enumerate(MODELS):
        stage.register(model_id, train_xgboost(seed), dataset=DATASET)
    stage.aws.instances.set(InstanceSettings(startup_seconds=STARTUP))
    # Without samples of this type, plans would expect the start-up that jobs of other tests had.
    request = {"models": list(MODELS), "instance_type": INSTANCE_TYPE, "models_per_job": len(MODELS)}
    assert stage.run(request, "agrees-first").status == ExecutionStatus.SUCCEEDED
    yield
    stage.aws.instances.set(InstanceSettings())
    for model_id in MODELS:
        stage.catalog.set_enabled(model_id, False)


def plan_of(stage: Stage, models_per_job: int | None) -> CapacityPlan:
    """Return the plan that the planner makes of what the stage has measured until now."""
    table = EstimateTable(
        stage.connection.resource("dynamodb").meta.client,
        stage.deployment.table_name,
        clock=lambda: datetime.now(UTC),
    )
    versions = [stage.catalog.versions(model_id)["1"].spec for model_id in MODELS]
    works = tuple(ModelWork(spec.model_id, spec.format, spec.artifact_bytes, 0.1) for spec in versions)
    listed = stage.client("s3").list_objects_v2(
        Bucket=stage.deployment.datasets_bucket, Prefix=layout.dataset_prefix(DATASET)
    )
    fixed = Fixed(instance_type=INSTANCE_TYPE, models_per_job=models_per_job)
    return choose_plan(
        PlanningProblem(
            groups=(ModelGroup("all", DATASET, works, fixed),),
            datasets={DATASET: [entry["Size"] for entry in listed["Contents"]]},
            estimates=stage_estimates(table),
            prices=bundled_prices(),
            region="us-east-1",
            instance_types=(INSTANCE_TYPE,),
            max_concurrency=PLACES,
        )
    )


def stage_estimates(table: EstimateTable) -> Estimates:
    return Estimates(table.read(MODELS, [DATASET]))


def execute(stage: Stage, plan: CapacityPlan, name: str) -> list[dict[str, Any]]:
    """Run the plan, and return its SageMaker jobs in the order of their creation."""
    request = {
        "models": list(MODELS),
        "instance_type": INSTANCE_TYPE,
        "models_per_job": max(len(job.models) for job in plan.jobs),
        "max_concurrency": PLACES,
    }
    snapshot = stage.run(request, name)
    assert (snapshot.status, snapshot.reason) == (ExecutionStatus.SUCCEEDED, ""), [job.reason for job in snapshot.jobs]
    return sorted(stage.processing_jobs(name), key=lambda job: job["CreationTime"])


def simulated(plan: CapacityPlan) -> float:
    """Return the makespan that the simulation expects of the plan's jobs."""
    items = [Item(job.instance_type, job.instance_count, job.seconds.value - STARTUP) for job in plan.jobs]
    certain = Noise(startup=0.0, work=0.0, slow_share=0.0, failure_share=0.0)
    rng = random.Random(1)
    quotas = {INSTANCE_TYPE: PLACES * max(job.instance_count for job in plan.jobs)}
    return simulate(items, max_concurrency=PLACES, quotas=quotas, noise=certain, rng=rng).makespan


def durations(jobs: Sequence[dict[str, Any]]) -> list[float]:
    return [(job["ProcessingEndTime"] - job["CreationTime"]).total_seconds() for job in jobs]


def makespan(seconds: Sequence[float]) -> float:
    """Return when the last job ends if each starts as soon as one of the Map's places is free.

    Start-ups are shown and not waited for, so the clock of the test says nothing about it.
    """
    places = [0.0] * PLACES
    for each in seconds:
        heapq.heapreplace(places, places[0] + each)
    return max(places)


@pytest.mark.parametrize(("name", "models_per_job", "jobs"), [("unpacked", 1, 3), ("packed", None, 1)])
def test_an_execution_takes_what_its_plan_expects(
    stage: Stage, name: str, models_per_job: int | None, jobs: int
) -> None:
    plan = plan_of(stage, models_per_job)
    executed = execute(stage, plan, f"agrees-{name}")

    assert len(plan.jobs) == len(executed) == jobs
    seconds = durations(executed)
    assert sum(seconds) / 3_600 == pytest.approx(plan.instance_hours, rel=BAND)
    assert makespan(seconds) == pytest.approx(plan.makespan.value, rel=BAND)
    assert makespan(seconds) == pytest.approx(simulated(plan), rel=BAND)
    assert [job["ProcessingResources"]["ClusterConfig"]["InstanceType"] for job in executed] == [INSTANCE_TYPE] * jobs


def test_later_plans_expect_the_startup_that_jobs_had(stage: Stage) -> None:
    table = EstimateTable(
        stage.connection.resource("dynamodb").meta.client, stage.deployment.table_name, clock=lambda: datetime.now(UTC)
    )
    found = stage_estimates(table).startup_seconds(INSTANCE_TYPE)
    assert found.count == 5
    assert found.value == pytest.approx(STARTUP, rel=BAND)
