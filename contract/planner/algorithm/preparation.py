"""What is computed once per problem, and shared by the plans that are compared."""

from collections.abc import Mapping, Sequence

from contract.planner.algorithm.options import Option, options
from contract.planner.algorithm.shards import Dataset
from contract.planner.algorithm.work import GroupWork, Machine, group_work, machine_of
from contract.planner.instances import size_of
from contract.planner.problem import ModelGroup, PlanningProblem, priced_kind

Works = Mapping[str, GroupWork]
"""The work of a group on each type that it may have, by the pool of the type's instances."""


class Preparation:
    """The work of all groups, and the options that were asked for."""

    def __init__(self, works: Sequence[Works]) -> None:
        self.works = works
        self._options: dict[object, list[Option]] = {}
        self._options_of: dict[tuple[int, int | None, int], tuple[GroupWork, list[Option]]] = {}

    def options(self, problem: PlanningProblem, work: GroupWork) -> list[Option]:
        """Return the options of a piece of work; none if its type cannot run it."""
        name = work.machine.pool
        limits = problem.quotas.get(name), places(problem, name)
        # The work is kept with its options, so that no other object gets its id.
        known = self._options_of.get((id(work), *limits))
        if known is None:
            # Groups that are alike, such as models with datasets of the same sizes, share their options.
            load = len(work.loads), work.total, work.heaviest, work.bytes_per_row
            key = work.group.alike, work.machine.pool, load, work.dataset.shape, limits
            found = self._options.get(key)
            if found is None:
                found = self._options[key] = options(work, *limits)
            known = self._options_of[(id(work), *limits)] = work, found
        return known[1]

    def with_shared_jobs(self) -> "Preparation":
        """Return the same work, with the number of models per job left to the planner."""
        return Preparation([{name: work.sharing() for name, work in by_type.items()} for by_type in self.works])


def prepare(problem: PlanningProblem) -> Preparation:
    """Return the work of each group on each type that it may have."""
    datasets = {name: Dataset(sizes) for name, sizes in problem.datasets.items()}
    machines: dict[tuple[str, bool], Machine] = {}
    works: list[Works] = []
    for group in problem.groups:
        if group.models:
            dataset = datasets[group.dataset]
            keys = [(name, group.spot) for name in choosable_types(problem, group)]
            for key in keys:
                if key not in machines:
                    machines[key] = machine_of(problem, *key)
            works.append({machines[key].pool: group_work(problem, group, dataset, machines[key]) for key in keys})
    return Preparation(works)


def places(problem: PlanningProblem, pool: str) -> int:
    """Return how many single-instance jobs of a pool run at once."""
    return min(problem.quotas.get(pool, problem.max_concurrency), problem.max_concurrency)


def choosable_types(problem: PlanningProblem, group: ModelGroup) -> Sequence[str]:
    """Return the types that a group may have: those with a known size, and with a price if any has one."""
    if group.fixed.instance_type is not None:
        return (group.fixed.instance_type,)
    known = [name for name in problem.instance_types if (size := size_of(name)) and (size.gpus or not group.needs_gpu)]
    known = known or list(problem.instance_types[:1])
    priced = [
        name for name in known if problem.prices.usd_per_hour(problem.region, priced_kind(group.spot), name) is not None
    ]
    return priced or known
