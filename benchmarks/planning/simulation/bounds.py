"""Lower bounds: no plan is cheaper or faster than these, even if it knew all times in advance."""

import math

from benchmarks.planning.simulation.execution import busy_seconds, usd_per_second, vcpus_of
from benchmarks.planning.simulation.scenarios import BYTES_PER_ROW, BYTES_PER_SECOND, STARTUP_SECONDS, TYPES, Draw
from contract.job.limits import MAX_MODELS_PER_JOB


def cost_bound(draw: Draw, deadline_seconds: float = math.inf) -> float:
    """Return a cost in US dollars that no plan undercuts, without noise, failures and quotas.

    Each dataset is scored on its cheapest type, by as few jobs as models can share one. Before a
    deadline, an instance can work for the deadline less one start-up.
    """
    total = 0.0
    for name, models in draw.models.items():
        fewest = math.ceil(len(models) / MAX_MODELS_PER_JOB)
        size = draw.datasets[name].total
        costs = []
        for instance_type in TYPES:
            busy = busy_seconds(models, instance_type, size)
            starts = max(fewest, busy / max(deadline_seconds - STARTUP_SECONDS, 1e-9))
            reading = (fewest - 1) * size / BYTES_PER_SECOND
            costs.append((busy + starts * STARTUP_SECONDS + reading) * usd_per_second(instance_type))
        total += min(costs)
    return total


def time_bound(draw: Draw) -> float:
    """Return an end in seconds that no plan comes before, without noise and failures.

    All instances of the quotas start at once and end at once.
    """
    rounds = math.ceil(len(draw.models) / sum(draw.scenario.quotas.values()))
    return max(rounds * STARTUP_SECONDS, STARTUP_SECONDS + max(_work_seconds(draw), _slowest_seconds(draw)))


def _work_seconds(draw: Draw) -> float:
    """Return the time in which all vCPUs of the quotas score all rows."""
    quotas = draw.scenario.quotas
    vcpus = sum(vcpus_of(name) * quota for name, quota in quotas.items())
    rows = {name: draw.datasets[name].total / BYTES_PER_ROW for name in draw.models}
    work = sum(rows[name] * sum(1 / model.rows_per_second for model in models) for name, models in draw.models.items())
    return work / vcpus


def _slowest_seconds(draw: Draw) -> float:
    """Return the time in which the largest instance scores the largest object with its slowest model."""
    fastest = max(TYPES, key=vcpus_of)
    return max(
        busy_seconds([min(models, key=lambda model: model.rows_per_second)], fastest, draw.datasets[name].largest)
        for name, models in draw.models.items()
    )
