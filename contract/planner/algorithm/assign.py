"""Which instance types run which models, if a plan uses several."""

from collections.abc import Mapping, Sequence

from contract.planner.algorithm.preparation import Works, places
from contract.planner.algorithm.work import GroupWork
from contract.planner.problem import PlanningProblem

_MODELS_TO_DIVIDE = 4
"""A group is divided between types if it has at least this many models per type."""


def type_sets(problem: PlanningProblem, works: Sequence[Works]) -> list[tuple[str, ...]]:
    """Return the sets of types that are tried: each alone, then the cheapest two, three and so on.

    Several types only help if quotas limit each of them.
    """
    free = [by_type for by_type in works if len(by_type) > 1]
    names = sorted({name for by_type in free for name in by_type})
    if len(names) < 2:
        return [tuple(names)]

    def cost(name: str) -> float:
        on = [by_type[name] for by_type in free if name in by_type]
        return sum(_busy_seconds(work) * work.machine.weight for work in on) / len(on)

    def capacity(name: str) -> float:
        [size] = {by_type[name].machine.size.vcpus for by_type in free if name in by_type}
        return size * places(problem, name)

    sets: list[tuple[str, ...]] = [(name,) for name in names]
    if all(name in problem.quotas for name in names):
        for order in (sorted(names, key=cost), sorted(names, key=capacity, reverse=True)):
            sets += [tuple(sorted(order[:count])) for count in range(2, len(order) + 1)]
    return list(dict.fromkeys(sets))


def assign(problem: PlanningProblem, works: Sequence[Works], types: Sequence[str]) -> list[GroupWork]:
    """Return the work of all groups on the types, divided so that all types end at about the same time.

    Groups that can run on none of them keep their first type.
    """
    chosen: list[GroupWork] = []
    undecided: list[list[GroupWork]] = []
    for by_type in works:
        on = [by_type[name] for name in types if name in by_type] if len(by_type) > 1 else []
        on = on or [next(iter(by_type.values()))]
        if len(on) == 1:
            chosen.append(on[0])
        elif on[0].group.is_fleet or len(on[0].loads) < _MODELS_TO_DIVIDE * len(on):
            undecided.append(on)
        else:
            chosen += _divide(problem, on)
    busy = dict.fromkeys(types, 0.0)
    for work in chosen:
        name = work.machine.instance_type
        busy[name] = busy.get(name, 0.0) + _busy_seconds(work) / places(problem, name)
    for on in sorted(undecided, key=lambda on: -_busy_seconds(on[0])):
        added = {work.machine.instance_type: _busy_seconds(work) for work in on}
        work = min(on, key=lambda work: _end(problem, busy, added, work.machine.instance_type))
        name = work.machine.instance_type
        busy[name] += added[name] / places(problem, name)
        chosen.append(work)
    return chosen


def _end(problem: PlanningProblem, busy: Mapping[str, float], added: Mapping[str, float], name: str) -> float:
    return busy[name] + added[name] / places(problem, name)


def _divide(problem: PlanningProblem, on: Sequence[GroupWork]) -> list[GroupWork]:
    """Divide the models of a group between types by what each can do in a second."""
    speeds = [places(problem, work.machine.instance_type) / _busy_seconds(work) for work in on]
    models = len(on[0].loads)
    row_seconds = [load.row_seconds for load in on[0].loads]
    whole, taken, start = sum(row_seconds), 0.0, 0
    parts: list[GroupWork] = []
    target = 0.0
    for position, (work, speed) in enumerate(zip(on, speeds, strict=True)):
        target += whole * speed / sum(speeds)
        end = start
        last = position == len(on) - 1
        while end < models and (last or taken + row_seconds[end] / 2 <= target):
            taken += row_seconds[end]
            end += 1
        if end > start:
            parts.append(work.of_models(start, end))
        start = end
    return parts


def _busy_seconds(work: GroupWork) -> float:
    """Return the time of one instance that does everything."""
    return work.value_seconds(work.total, work.dataset.total)
