"""Lower bounds: no plan is cheaper or faster than these, even if it knew everything in advance."""

import math

from benchmarks.planning.simulation.execution import busy_seconds
from benchmarks.planning.simulation.scenarios import BYTES_PER_SECOND, PRICES, REGION, STARTUP_SECONDS, TYPES, Draw
from contract.planner.instances import size_of
from contract.workflow.scoring_request import MAX_MODELS_PER_JOB


def cost_bound(draw: Draw) -> float:
    """Return the least cost in US dollars, without noise, failures, quotas and deadline.

    Each dataset is read by as few jobs as models may share one, on the cheapest type.
    """
    total = 0.0
    for name, models in draw.models.items():
        jobs = math.ceil(len(models) / MAX_MODELS_PER_JOB)
        size = draw.datasets[name].total
        total += min(
            (
                busy_seconds(models, instance_type, size)
                + jobs * STARTUP_SECONDS
                + (jobs - 1) * size / BYTES_PER_SECOND
            )
            * _usd_per_second(instance_type)
            for instance_type in TYPES
        )
    return total


def cost_bound_by(draw: Draw, deadline_seconds: float) -> float:
    """Return the least cost of ending before a deadline: each instance can only work until then."""
    rest = deadline_seconds - STARTUP_SECONDS
    cheapest = min(TYPES, key=_usd_per_second)
    size = size_of(cheapest)
    assert size is not None
    most_vcpus = max(found.vcpus for name in TYPES if (found := size_of(name)))
    busy = sum(busy_seconds(models, cheapest, draw.datasets[name].total) for name, models in draw.models.items())
    # All work, on the fewest vCPUs that can do it in time, each of which pays one start-up.
    vcpus = busy * size.vcpus / max(rest, 1e-9)
    starts = max(vcpus * STARTUP_SECONDS / size.vcpus * _usd_per_second(cheapest), 0.0)
    assert most_vcpus
    return max(cost_bound(draw), busy * _usd_per_second(cheapest) + starts)


def time_bound(draw: Draw) -> float:
    """Return the earliest end in seconds, without noise and failures.

    All instances of the quotas start at once and end at once, and the slowest model with the
    largest object still needs an instance of its own.
    """
    scenario = draw.scenario
    vcpus = 0
    places = scenario.max_concurrency
    sizes = sorted(((size.vcpus, name) for name in scenario.quotas if (size := size_of(name))), reverse=True)
    for each, name in sizes:
        # A job has up to a hundred instances and takes one place, so places do not limit instances.
        vcpus += each * scenario.quotas[name]
    assert places
    rows_work = sum(
        draw.datasets[name].total / 100.0 * sum(1 / model.rows_per_second for model in models)
        for name, models in draw.models.items()
    )
    fastest = sizes[0][1]
    single = max(
        busy_seconds([min(models, key=lambda model: model.rows_per_second)], fastest, draw.datasets[name].largest)
        for name, models in draw.models.items()
    )
    return STARTUP_SECONDS + max(rows_work / vcpus, single)


def _usd_per_second(instance_type: str) -> float:
    price = PRICES.usd_per_hour(REGION, "processing", instance_type)
    assert price is not None
    return price / 3_600
