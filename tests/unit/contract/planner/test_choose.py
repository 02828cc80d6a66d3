"""The plan of an execution."""

from contract.planner.choose import choose_plan
from contract.planner.estimates import Estimates
from contract.planner.prices import PriceTable, RegionPrices
from contract.planner.problem import Fixed, ModelGroup, ModelWork, PlanningProblem

PRICES = PriceTable("2026-01-01", "a test", {"eu-central-1": RegionPrices({"ml.m5.xlarge": 0.3, "ml.m5.2xlarge": 0.6})})

ONE_EACH, AUTO = Fixed(), Fixed(models_per_job=None)


def group(models: int, fixed: Fixed = ONE_EACH) -> ModelGroup:
    return ModelGroup(
        "flights", "flights", tuple(ModelWork(f"model-{n:05d}", "xgboost-json", 10_000) for n in range(models)), fixed
    )


def problem(models: int = 10, fixed: Fixed = ONE_EACH, **changes: object) -> PlanningProblem:
    given: dict[str, object] = {
        "groups": (group(models, fixed),),
        "datasets": {"flights": [10_000_000] * 10},
        "estimates": Estimates(),
        "prices": PRICES,
        "region": "eu-central-1",
        "instance_types": ("ml.m5.xlarge",),
    }
    return PlanningProblem(**{**given, **changes})  # type: ignore[arg-type]


def test_one_model_per_job_is_the_default_and_auto_shares() -> None:
    assert [len(job.models) for job in choose_plan(problem()).jobs] == [1] * 10
    assert sum(len(job.models) for job in choose_plan(problem(fixed=AUTO)).jobs) == 10


def test_sharing_jobs_saves_start_ups() -> None:
    alone, shared = choose_plan(problem(100)), choose_plan(problem(100, AUTO))
    assert alone.cost is not None
    assert shared.cost is not None
    assert shared.cost < alone.cost / 5


def test_a_plan_names_its_prices_and_stays_within_the_quota() -> None:
    plan = choose_plan(problem(quotas={"ml.m5.xlarge": 3}))
    assert (plan.price_date, plan.price_source) == ("2026-01-01", "a test")
    assert plan.quota_needed == {"ml.m5.xlarge": 3}


def test_a_type_without_a_price_has_no_cost() -> None:
    assert choose_plan(problem(region="us-east-1")).cost is None
