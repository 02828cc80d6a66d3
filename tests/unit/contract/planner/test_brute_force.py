"""The plan of small problems, compared with the best of all plans."""

from collections.abc import Iterator

import pytest

from contract.planner.algorithm.schedule import Item, schedule
from contract.planner.algorithm.shards import Dataset
from contract.planner.algorithm.work import GroupWork, add_up, group_work, machine_of
from contract.planner.choose import choose_plan
from contract.planner.estimates import Estimates, Samples, model_key
from contract.planner.problem import ModelGroup, ModelWork, PlanningProblem
from tests.unit.contract.planner.problems import AUTO, PRICES, REGION, TYPES, exact_estimates


def partitions(models: list[int]) -> Iterator[list[list[int]]]:
    if not models:
        yield []
        return
    first, *rest = models
    for partition in partitions(rest):
        yield [[first], *partition]
        for index in range(len(partition)):
            yield [*partition[:index], [first, *partition[index]], *partition[index + 1 :]]


def best_cost(problem: PlanningProblem) -> float | None:
    """Return the smallest cost of all plans with one type, which end in time even if the longest job is repeated."""
    [group] = problem.groups
    dataset = Dataset(problem.datasets[group.dataset])
    costs = []
    for name in problem.instance_types:
        work = group_work(problem, group, dataset, machine_of(problem, name, False))
        for partition in partitions(list(range(len(group.models)))):
            for instances in range(1, min(dataset.objects, problem.quotas[name]) + 1):
                cost, end = cost_and_end(problem, work, partition, instances)
                if problem.deadline_seconds is None or end <= problem.deadline_seconds:
                    costs.append(cost)
    return min(costs, default=None)


def cost_and_end(
    problem: PlanningProblem, work: GroupWork, partition: list[list[int]], instances: int
) -> tuple[float, float]:
    shards = work.dataset.divide(instances)
    items, busy = [], 0.0
    for models in partition:
        load = add_up([work.loads[index] for index in models])
        seconds = [work.value_seconds(load, size) for size in shards.sizes]
        if shards.is_split:
            items += [Item(work.machine.instance_type, 1, each) for each in seconds]
            busy += sum(seconds)
        else:
            items.append(Item(work.machine.instance_type, instances, max(seconds)))
            busy += max(seconds) * instances
    items.sort(key=lambda item: -item.seconds)
    limits = {"max_concurrency": problem.max_concurrency, "quotas": problem.quotas, "starts_per_second": 1.0}
    end = schedule(items, **limits).makespan + items[0].seconds  # type: ignore[arg-type]
    return busy * (work.machine.usd_per_hour or 0) / 3_600, end


@pytest.mark.parametrize("deadline", [None, 1_200.0, 2_000.0, 4_000.0, 10_000.0])
@pytest.mark.parametrize("quota", [1, 2, 4])
@pytest.mark.parametrize("sizes", [[2_000_000_000], [9_000_000_000, 100_000_000, 3_000_000_000], [500_000_000] * 4])
def test_cost_is_close_to_that_of_the_best_plan(deadline: float | None, quota: int, sizes: list[int]) -> None:
    speeds = [1e6, 4e5, 2e5, 8e5, 1e5, 3e5]
    rows = {model_key(f"m-{number}", name): [speed] * 5 for number, speed in enumerate(speeds) for name in TYPES}
    kinds = exact_estimates()._samples.by_kind
    problem = PlanningProblem(
        groups=(ModelGroup("g", "d", tuple(ModelWork(f"m-{n}", "onnx", 0) for n in range(len(speeds))), AUTO),),
        datasets={"d": sizes},
        estimates=Estimates(Samples({**kinds, "rows": rows})),
        prices=PRICES,
        region=REGION,
        instance_types=TYPES[:2],
        quotas=dict.fromkeys(TYPES, quota),
        deadline_seconds=deadline,
    )
    plan, best = choose_plan(problem), best_cost(problem)
    assert plan.cost is not None
    if best is not None:
        assert plan.cost <= best * 1.1
        assert plan.meets_deadline is not False
