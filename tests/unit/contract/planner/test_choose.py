"""The plan of an execution."""

from dataclasses import replace

from contract.planner.choose import choose_plan
from contract.planner.estimates import Estimates
from contract.planner.prices import PriceTable, RegionPrices
from contract.planner.problem import Fixed, ModelGroup, ModelWork, PlanningProblem
from contract.pool.pool_records import JobKind, quota_key
from tests.unit.contract.planner.problems import exact_estimates

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


def test_the_plan_says_what_sharing_jobs_would_save() -> None:
    plan = choose_plan(problem(100))
    [shared] = [found for found in plan.alternatives if "models_per_job" in found.change]
    assert shared.cost is not None
    assert plan.cost is not None
    assert shared.cost < plan.cost / 5
    assert "'auto'" in str(shared)


def test_a_plan_that_is_late_says_which_quota_would_be_enough() -> None:
    late = problem(1_000, AUTO, quotas={"ml.m5.xlarge": 2}, deadline_seconds=2_400.0)
    plan = choose_plan(late)
    assert plan.meets_deadline is False
    raised = [found for found in plan.alternatives if found.change.startswith("raise the quota of ml.m5.xlarge from 2")]
    assert raised
    assert min(found.makespan_seconds for found in raised) < plan.makespan.value


def test_a_plan_that_is_late_anyway_does_not_pay_for_seconds() -> None:
    late = choose_plan(problem(fixed=Fixed(models_per_job=1), deadline_seconds=1.0))
    fastest = choose_plan(problem(fixed=Fixed(models_per_job=1), objective="time"))
    assert late.meets_deadline is False
    assert late.cost == fastest.cost


def test_spot_is_only_compared_at_prices_that_are_given() -> None:
    assert not [found for found in choose_plan(problem()).alternatives if "spot" in found.change]
    region = RegionPrices({"ml.m5.xlarge": 0.3}, training_spot={"ml.m5.xlarge": 0.1})
    plan = choose_plan(problem(prices=PriceTable("2026-01-01", "a test", {"eu-central-1": region})))
    [spot] = [found for found in plan.alternatives if "spot" in found.change]
    assert plan.cost is not None
    assert spot.cost is not None
    assert round(plan.cost / spot.cost, 6) == 3


def test_what_is_fixed_and_cannot_work_is_named() -> None:
    [found] = choose_plan(problem(fixed=Fixed(instance_count=5), quotas={"ml.m5.xlarge": 3})).problems
    assert str(found).startswith("flights: quota of ml.m5.xlarge: got 3, expected at least 5 for this job.")
    big = problem(fixed=Fixed(volume_size_gb=1), datasets={"flights": [5_000_000_000]})
    [found] = choose_plan(big).problems
    assert str(found).startswith("flights: volume_size_gb: got 1, expected at least 6 GB")


def test_a_job_that_may_take_too_long_is_divided() -> None:
    slow = replace(group(40, AUTO), max_runtime_seconds=1_800)
    plan = choose_plan(problem(groups=(slow,), datasets={"flights": [200_000_000] * 10}))
    assert len(plan.jobs) > 1
    assert all(job.seconds.high <= 1_800 for job in plan.jobs)


def test_a_dataset_of_many_objects_limits_the_models_of_a_job() -> None:
    plan = choose_plan(problem(30, AUTO, datasets={"flights": [1_000] * 100_000}))
    assert all(len(job.models) * 100_000 <= 1_000_000 for job in plan.jobs)


def test_unequal_objects_are_split_into_parts_of_equal_bytes() -> None:
    unequal = [10_000_000_000, *[100_000_000] * 100]
    plan = choose_plan(problem(1, Fixed(instance_count=2), datasets={"flights": unequal}))
    [job] = plan.jobs
    assert job.is_split
    assert job.shard_bytes == (10_000_000_000, 10_000_000_000)


def test_parts_have_the_starts_that_the_plan_expects() -> None:
    unequal = [2_000_000_000, *[100_000_000] * 100]
    plan = choose_plan(problem(2, Fixed(instance_count=3), datasets={"flights": unequal}, max_concurrency=4))
    assert [len(job.starts) for job in plan.jobs] == [3, 3]
    starts = sorted(start for job in plan.jobs for start in job.starts)
    assert starts[:4] == [0, 1, 2, 3]
    assert starts[4] > 240, "only four parts run at once"
    assert [job.starts_at for job in plan.jobs] == [min(job.starts) for job in plan.jobs]


def test_before_a_tight_deadline_jobs_are_short_enough_to_be_repeated() -> None:
    """The cheapest plan that is in time without a failure has one round of long jobs."""
    models = tuple(ModelWork(f"model-{number}", "onnx", 0) for number in range(1_000))
    tight = problem(
        groups=(ModelGroup("all", "flights", models, AUTO),),
        estimates=exact_estimates(rows_per_second=1e5, datasets=["flights"]),
        quotas={"ml.m5.xlarge": 20},
        datasets={"flights": [100_000_000] * 10},
    )
    fastest = choose_plan(replace(tight, objective="time")).makespan.value
    plan = choose_plan(replace(tight, deadline_seconds=fastest * 1.8))
    assert plan.meets_deadline
    longest = max(job.seconds.value for job in plan.jobs)
    assert plan.makespan.value + longest + 60 <= fastest * 1.8


def test_the_volume_grows_with_the_shard_and_its_outputs() -> None:
    work = ModelWork("model-0", "xgboost-json", 10_000, output_ratio=1.0)
    plan = choose_plan(problem(groups=(ModelGroup("g", "flights", (work,)),), datasets={"flights": [40_000_000_000]}))
    assert plan.jobs[0].volume_gb >= 80


def test_spot_capacity_has_its_own_prices_quotas_and_parts() -> None:
    region = RegionPrices({"ml.m5.xlarge": 0.3}, training_spot={"ml.m5.xlarge": 0.1})
    on_spot = problem(
        prices=PriceTable("2026-01-01", "a test", {"eu-central-1": region}),
        groups=(replace(group(4, Fixed(instance_count=2)), spot=True),),
        quotas={"ml.m5.xlarge": 1, quota_key(JobKind.SPOT_TRAINING, "ml.m5.xlarge"): 3},
    )
    plan = choose_plan(on_spot)
    assert plan.quota_needed == {"spot-training:ml.m5.xlarge": 3}
    assert all(job.spot and job.is_split and job.instance_count == 2 for job in plan.jobs)
    [other] = [found for found in plan.alternatives if found.change.startswith("set spot to false")]
    assert plan.cost is not None
    assert other.cost is not None
    assert round(other.cost / plan.cost, 6) == 3


def test_notes_of_thousands_of_groups_are_short() -> None:
    """They are in the execution's record, which has at most 400 KB."""
    datasets = {f"data-{number}": [5_000_000_000] * 4 for number in range(2_000)}
    groups = tuple(
        ModelGroup(f"model-{name}", name, (ModelWork("m", "onnx", 1_000_000),), Fixed(models_per_job=1), 3_600)
        for name in datasets
    )
    plan = choose_plan(problem(groups=groups, datasets=datasets))
    assert len(plan.jobs) == 2_000
    assert sum(map(len, plan.notes)) < 5_000
    assert "So may jobs of 1,995 more." in plan.notes


def test_the_times_of_fixed_jobs_are_those_of_exactly_these_jobs() -> None:
    """Their models need more memory than the planner would give one job, and its own division has three jobs."""
    models = tuple(ModelWork(f"model-{number}", "onnx", 600_000_000) for number in range(5))
    fixed = ModelGroup("flights", "flights", models, Fixed("ml.m5.xlarge", 1, 30, models_per_job=4), job_sizes=(1, 4))
    plan = choose_plan(problem(groups=(fixed,)))
    assert [job.models for job in plan.jobs] == [tuple(f"model-{n}" for n in (1, 2, 3, 4)), ("model-0",)]
    large, small = plan.jobs
    assert large.seconds.value > 2 * small.seconds.value
    assert plan.makespan.value == large.starts_at + large.seconds.value
    assert not plan.problems


def test_sharing_is_offered_for_fixed_jobs_with_all_their_models() -> None:
    whole = group(100, Fixed(models_per_job=2))
    plan = choose_plan(problem(groups=(replace(whole, job_sizes=(2,) * 50),)))
    [shared] = [found for found in plan.alternatives if "models_per_job" in found.change]
    assert len(plan.jobs) == 50
    alone = choose_plan(problem(100, AUTO))
    assert (shared.cost, shared.makespan_seconds) == (alone.cost, alone.makespan.value)


def test_fixed_jobs_are_divided_between_types_as_a_whole() -> None:
    whole = replace(group(400, Fixed(models_per_job=4)), job_sizes=(4,) * 100)
    quotas = {"ml.m5.xlarge": 5, "ml.m5.2xlarge": 5}
    plan = choose_plan(
        problem(groups=(whole,), quotas=quotas, instance_types=tuple(quotas), objective="time", deadline_seconds=None)
    )
    assert {job.instance_type for job in plan.jobs} == set(quotas)
    assert sorted(job.models for job in plan.jobs) == [
        tuple(f"model-{n:05d}" for n in range(start, start + 4)) for start in range(0, 400, 4)
    ]


def test_a_model_that_its_fixed_volume_cannot_hold_is_part_of_the_figures() -> None:
    models = (ModelWork("large", "onnx", 20 * 10**9), ModelWork("small", "onnx", 1_000))
    fixed = Fixed("ml.m5.xlarge", 1, 30)
    plan = choose_plan(problem(groups=(ModelGroup("flights", "flights", models, fixed),)))
    assert sorted(job.models for job in plan.jobs) == [("large",), ("small",)]
    [found] = plan.problems
    assert found.field == "flights: volume_size_gb"
    assert "at least 41 GB" in found.expected
