"""Which instance types run which models, if a plan uses several."""

from collections.abc import Iterable, Mapping, Sequence

from contract.planner.algorithm.preparation import Works, places
from contract.planner.algorithm.work import GroupWork
from contract.planner.problem import PlanningProblem

_MODELS_TO_DIVIDE = 2
"""A group is divided between types if it has at least this many models per type."""
_MANY_SHARES = 2.0
"""A group is divided between types if it would keep more than this many instances busy."""
_SLOW = 2.0
"""Multiple of a group's mean time per row from which on a model is slow."""


def assignments(problem: PlanningProblem, works: Sequence[Works]) -> Iterable[list[GroupWork]]:
    """Yield ways to assign all groups to types.

    If models of a group differ much, its slowest ones are also tried as a group of their own.
    """
    variants = [works]
    apart = [part for by_type in works for part in _slow_apart(by_type)]
    if len(apart) > len(works):
        variants.append(apart)
    for variant in variants:
        for types in _type_sets(problem, variant):
            yield _assign(problem, variant, types)


def _type_sets(problem: PlanningProblem, works: Sequence[Works]) -> list[tuple[str, ...]]:
    """Return the sets of types that are tried: each alone, then the cheapest two, three and so on.

    Several types only help if quotas limit each of them.
    """
    free = [by_type for by_type in works if len(by_type) > 1]
    names = sorted({name for by_type in free for name in by_type})
    if len(names) < 2:
        return [tuple(names)]

    def cost(name: str) -> float:
        on = [by_type[name] for by_type in free if name in by_type]
        return sum(work.busy_seconds * work.machine.weight for work in on) / len(on)

    def capacity(name: str) -> float:
        size = next(by_type[name] for by_type in free if name in by_type).machine.size
        return float(size.vcpus * places(problem, name))

    def vcpus(name: str) -> float:
        return float(next(by_type[name] for by_type in free if name in by_type).machine.size.vcpus)

    sets: list[tuple[str, ...]] = [(name,) for name in names]
    if all(name in problem.quotas for name in names):
        for order in (sorted(names, key=cost), *(sorted(names, key=by, reverse=True) for by in (capacity, vcpus))):
            sets += [tuple(sorted(order[:count])) for count in range(2, len(order) + 1)]
    return list(dict.fromkeys(sets))


def _slow_apart(by_type: Works) -> list[Works]:
    first = next(iter(by_type.values()))
    fixed = first.group.fixed.models_per_job
    if first.group.is_fleet or fixed is not None or len(first.loads) < 2:
        return [by_type]
    limit = _SLOW * first.total.row_seconds / len(first.loads)
    slow = [index for index, load in enumerate(first.loads) if load.row_seconds > limit]
    if not slow:
        return [by_type]
    others = [index for index, load in enumerate(first.loads) if load.row_seconds <= limit]
    return [{name: work.of_loads(indexes) for name, work in by_type.items()} for indexes in (slow, others)]


def _assign(problem: PlanningProblem, works: Sequence[Works], types: Sequence[str]) -> list[GroupWork]:
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
        else:
            undecided.append(on)
    # A group that would keep some instances busy for more than a fair share is divided.
    capacity = sum(places(problem, name) for name in types)
    fair = sum(on[0].busy_seconds for on in undecided) / capacity if undecided else 0.0
    busy = dict.fromkeys(types, 0.0)
    for work in chosen:
        name = work.machine.pool
        busy[name] = busy.get(name, 0.0) + work.busy_seconds / places(problem, name)
    for on in sorted(undecided, key=lambda on: -on[0].busy_seconds):
        is_divided = not on[0].group.is_fleet and len(on[0].loads) >= len(on) * _MODELS_TO_DIVIDE
        if is_divided and on[0].busy_seconds > fair * _MANY_SHARES:
            parts = _divide(problem, on)
        else:
            parts = [min(on, key=lambda work: _end(problem, busy, work))]
        for work in parts:
            busy[work.machine.pool] = _end(problem, busy, work)
        chosen += parts
    return chosen


def _end(problem: PlanningProblem, busy: Mapping[str, float], work: GroupWork) -> float:
    """Return until when a type's instances are busy with this work too, if they share all evenly."""
    name = work.machine.pool
    return busy[name] + work.busy_seconds / places(problem, name)


def _divide(problem: PlanningProblem, on: Sequence[GroupWork]) -> list[GroupWork]:
    """Divide the models of a group between types by what each can do in a second: slow ones to large instances."""
    on = sorted(on, key=lambda work: -work.machine.size.vcpus)
    speeds = [places(problem, work.machine.pool) / work.busy_seconds for work in on]
    row_seconds = [load.row_seconds for load in on[0].loads]
    order = sorted(range(len(row_seconds)), key=lambda index: (-row_seconds[index], index))
    whole, taken, start, target = sum(row_seconds), 0.0, 0, 0.0
    parts: list[GroupWork] = []
    for position, (work, speed) in enumerate(zip(on, speeds, strict=True)):
        target += whole * speed / sum(speeds)
        end = start
        last = position == len(on) - 1
        while end < len(order) and (last or taken + row_seconds[order[end]] / 2 <= target):
            taken += row_seconds[order[end]]
            end += 1
        if end > start:
            parts.append(work.of_loads(sorted(order[start:end])))
        start = end
    return parts
