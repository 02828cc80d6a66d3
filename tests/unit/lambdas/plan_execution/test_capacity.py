"""The planner in the plan of an execution: what it chooses, what it must not change, and what is kept."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contract import codec, environment, layout
from contract.catalog.models import Compute
from contract.planner.plan import CapacityPlan
from contract.planner.prices import PriceTable, RegionPrices
from contract.table.estimate_items import EstimateRecord, estimate_item, estimate_key
from contract.table.price_items import prices_item
from contract.workflow.messages import ExecutionPlanInput, JobPointer
from lambdas.errors import InvalidRequestError, PlanChangedError
from tests.unit.lambdas.builders import REGION, STAGE_COMPUTE, STARTED_AT, Stage, execution_arn, plan_event

Step = Callable[[dict[str, Any]], dict[str, Any]]


def register_many(stage: Stage, count: int, **changes: Any) -> None:
    for number in range(count):
        stage.register(f"m-{number:02d}", **changes)
    stage.upload(keys=[f"{number}.parquet" for number in range(4)], size=1_000)


def planned_jobs(stage: Stage, execution_id: str = "e-1") -> list[str]:
    pointers = stage.read_json(layout.jobs_key(execution_id))
    return [codec.from_json(JobPointer, item).job_id for item in pointers]


def test_default_request_is_planned_without_choices(stage: Stage, plan: Step) -> None:
    register_many(stage, 3)
    plan(plan_event({}))
    assert planned_jobs(stage) == ["m-00", "m-01", "m-02"]
    job = stage.job("m-00")
    assert job.compute == STAGE_COMPUTE
    assert job.estimated_seconds > 0
    estimate = stage.execution().estimate
    assert estimate is not None
    assert (estimate.jobs, estimate.cost, estimate.meets_deadline) == (3, None, None)
    assert 0 < estimate.seconds.low <= estimate.seconds.value <= estimate.seconds.high
    assert layout.capacity_key("e-1") not in stage.result_keys()


def test_estimates_know_the_rate_at_which_the_stage_creates_jobs(
    stage: Stage, plan: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(environment.JOB_STARTS_PER_SECOND, "0.1")
    register_many(stage, 10)
    plan(plan_event({}))
    estimate = stage.execution().estimate
    assert estimate is not None
    each = stage.job("m-00").estimated_seconds
    assert estimate.seconds.value == pytest.approx(90 + each, abs=1), "the last job is created 90 seconds later"


def test_estimates_of_a_fixed_number_of_models_per_job_are_those_of_the_real_jobs(stage: Stage, plan: Step) -> None:
    """The planner itself would give each of these models a job, because of their time limit."""
    for number in range(2):
        stage.register(f"m-{number:02d}", compute=Compute(max_runtime_seconds=300))
    stage.upload(keys=["0.parquet"], size=1_000)
    plan(plan_event({"models_per_job": 2}))
    [job_id] = planned_jobs(stage)
    estimate = stage.execution().estimate
    assert estimate is not None
    assert estimate.jobs == 1
    assert estimate.seconds.value == pytest.approx(stage.job(job_id).estimated_seconds, abs=1)


def test_auto_packs_small_models_into_few_jobs_that_have_them_all(stage: Stage, plan: Step) -> None:
    register_many(stage, 30)
    assert plan(plan_event({"models_per_job": "auto"}))["job_count"] < 5
    models = [model_id for job_id in planned_jobs(stage) for model_id in stage.job(job_id).model_ids]
    assert sorted(models) == [f"m-{number:02d}" for number in range(30)]


def test_stage_may_leave_packing_to_the_planner(stage: Stage, plan: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.DEFAULT_MODELS_PER_JOB, "auto")
    register_many(stage, 30)
    assert plan(plan_event({}))["job_count"] < 5
    assert plan(plan_event({"models_per_job": 1}, "e-2"))["job_count"] == 30


def test_planner_keeps_what_request_and_records_fix(stage: Stage, plan: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.PLANNED_INSTANCE_TYPES, '["ml.m5.xlarge", "ml.c5.4xlarge"]')
    register_many(stage, 2)
    stage.register("fixed", compute=Compute(instance_type="ml.m5.large", instance_count=3, volume_size_gb=77))
    plan(plan_event({"models_per_job": "auto"}))
    fixed = stage.job("fixed").compute
    assert (fixed.instance_type, fixed.instance_count, fixed.volume_size_gb) == ("ml.m5.large", 3, 77)
    [free] = [job_id for job_id in planned_jobs(stage) if job_id != "fixed"]
    assert stage.job(free).compute.instance_type in ("ml.m5.xlarge", "ml.c5.4xlarge")
    plan(plan_event({"models": ["fixed"], "instance_count": 2, "objective": "time"}, "e-2"))
    assert stage.job("fixed", "e-2").compute.instance_count == 2


def test_repeated_call_uses_the_choice_of_the_first(stage: Stage, plan: Step) -> None:
    """Estimates and the time that is left change from call to call, and two plans must not be mixed."""
    register_many(stage, 6)
    event = plan_event({"models_per_job": "auto"})
    plan(event)
    [whole] = codec.from_json(CapacityPlan, stage.read_json(layout.capacity_key("e-1"))).jobs

    def keep(execution_id: str, *models: tuple[str, ...]) -> None:
        halves = CapacityPlan(
            jobs=tuple(replace(whole, models=names) for names in models),
            makespan=whole.seconds,
            instance_hours=1.0,
            cost=None,
            price_date="",
            price_source="",
        )
        assert stage.deployment.store.keep_capacity(execution_id, halves) == halves

    keep("e-2", ("m-00", "m-01"), ("m-02", "m-03", "m-04", "m-05"))
    plan(plan_event({"models_per_job": "auto"}, "e-2"))
    assert planned_jobs(stage, "e-2") == ["m-00.and-1-more", "m-02.and-3-more"]
    keep("e-3", ("m-00", "unknown"))
    with pytest.raises(PlanChangedError, match=r"executions/e-3/capacity.json already exists"):
        plan(plan_event({"models_per_job": "auto"}, "e-3"))


def deadline_event(request: dict[str, Any], execution_id: str = "e-1") -> dict[str, Any]:
    return codec.to_json(
        ExecutionPlanInput(execution_id, execution_arn(execution_id), STARTED_AT, request, None, STARTED_AT)
    )


def test_deadline_is_recorded_and_a_late_plan_says_so(stage: Stage, plan: Step) -> None:
    register_many(stage, 2)
    plan(deadline_event({"deadline": "PT1M"}))
    record = stage.execution()
    assert record.deadline_at == "2026-01-05T10:01:00.123Z"
    assert record.estimate is not None
    assert record.estimate.meets_deadline is False
    [late] = [note for note in record.estimate.notes if "deadline" in note]
    assert late.startswith("The deadline is likely to be missed: the jobs take ")
    plan(deadline_event({"deadline": "2026-01-06T10:00:00+02:00"}, "e-2"))
    record = stage.execution("e-2")
    assert record.deadline_at == "2026-01-06T08:00:00.000Z"
    assert record.estimate is not None
    assert record.estimate.meets_deadline is True


def test_deadline_that_has_passed_needs_a_later_one(stage: Stage, plan: Step) -> None:
    """Nothing else helps, so no other change of the request is recommended."""
    register_many(stage, 2)
    plan(deadline_event({"deadline": "2025-12-31T10:00:00Z"}))
    estimate = stage.execution().estimate
    assert estimate is not None
    assert "The deadline has passed. Move the deadline to a later time." in estimate.notes
    with pytest.raises(
        InvalidRequestError, match=r"until about 2026-01-05 10:.* UTC\. Move the deadline to a later time\."
    ):
        plan(deadline_event({"deadline": "2025-12-31T10:00:00Z", "strict_deadline": True}, "e-2"))


def test_strict_deadline_refuses_what_cannot_fit_with_numbers(stage: Stage, plan: Step) -> None:
    register_many(stage, 2)
    with pytest.raises(InvalidRequestError, match=r"deadline: got 'PT1M', expected a later time.* the jobs take .*min"):
        plan(deadline_event({"deadline": "PT1M", "strict_deadline": True}))
    for execution_id, is_strict in (("e-2", True), ("e-3", False)):
        plan(deadline_event({"deadline": "PT12H", "strict_deadline": is_strict}, execution_id))
        assert stage.execution(execution_id).deadline_is_strict is is_strict


def test_cost_has_the_stages_prices_with_their_source(stage: Stage, plan: Step) -> None:
    table = PriceTable("2026-11-30", "our contract", {REGION: RegionPrices(processing={"ml.m5.large": 0.5})})
    stage.table.put_item(Item=prices_item(table))
    register_many(stage, 2)
    plan(plan_event({}))
    estimate = stage.execution().estimate
    assert estimate is not None
    assert estimate.cost == pytest.approx(estimate.instance_hours * 0.5)
    assert (estimate.price_date, estimate.price_source) == ("2026-11-30", "our contract")
    assert estimate.usd_per_hour == {"ml.m5.large": 0.5}


def test_parts_that_the_planner_chose_count_as_jobs(stage: Stage, plan: Step) -> None:
    stage.register("fixed", compute=Compute(instance_count=2))
    stage.upload(keys=["small.parquet"], size=100)
    stage.upload(keys=["large.parquet"], size=1_000)
    assert plan(plan_event({"max_concurrency": 1}))["max_concurrency"] == 2
    chosen = plan(plan_event({"max_concurrency": 1, "objective": "time"}, "e-2"))
    assert (chosen["job_count"], chosen["max_concurrency"]) == (1, 1)


def test_planner_never_needs_more_than_the_quota(stage: Stage, plan: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.INSTANCE_QUOTAS, '{"ml.m5.large": 3}')
    register_many(stage, 30)
    plan(plan_event({"models_per_job": 1, "instance_count": 1}))
    estimate = stage.execution().estimate
    assert estimate is not None
    assert estimate.quota_needed == {"ml.m5.large": 3}


@pytest.mark.parametrize("price", ["much", -1, 0])
def test_unusable_prices_of_the_stage_leave_the_cost_out(stage: Stage, plan: Step, price: Any) -> None:
    """Nothing is refused, and nothing is priced with other prices, because of what is only shown."""
    table = PriceTable("2026-11-30", "our contract", {REGION: RegionPrices(processing={"ml.m5.large": 0.5})})
    item = prices_item(table)
    item["regions"][REGION]["processing"]["ml.m5.large"] = price
    stage.table.put_item(Item=item)
    register_many(stage, 2)
    plan(plan_event({}))
    estimate = stage.execution().estimate
    assert estimate is not None
    assert estimate.cost is None
    assert "cannot be read" in estimate.price_source


def test_poisoned_estimates_do_not_stop_a_plan(stage: Stage, plan: Step) -> None:
    register_many(stage, 2)
    plan(plan_event({}))
    samples = {"ml.m5.large": tuple(f"{value} {STARTED_AT} e" for value in ("0", "-3", "nan", "inf", "1e-320", "x"))}
    for subject, name, found in (
        ("MODEL", "m-00", samples),
        ("DATASET", "flights", {"bytes-per-row": samples["ml.m5.large"]}),
        ("INSTANCE", "ml.m5.large", {"startup": samples["ml.m5.large"], "of a later release": ("1 2 3",)}),
    ):
        stage.table.put_item(Item=estimate_item(EstimateRecord(subject, name, found), 0))  # type: ignore[arg-type]
    plan(plan_event({}, "e-2"))
    assert stage.execution("e-2").estimate == stage.execution().estimate
    stage.table.put_item(Item={**estimate_key("MODEL", "m-01"), "samples": 7})
    plan(plan_event({}, "e-3"))
    assert planned_jobs(stage, "e-3") == ["m-00", "m-01"]


def test_default_request_is_planned_without_an_estimate_if_the_planner_fails(
    stage: Stage, plan: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("lambdas.planning.capacity.choose.choose_plan", fail)
    register_many(stage, 2)
    plan(plan_event({}))
    assert planned_jobs(stage) == ["m-00", "m-01"]
    assert stage.execution().estimate is None
    with pytest.raises(ZeroDivisionError):
        plan(plan_event({"models_per_job": "auto"}, "e-2"))
