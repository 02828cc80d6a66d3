"""Plan one large execution in this process, and print what it took: `MODELS OBJECTS shared|own`."""

import json
import resource
import sys
import time
from dataclasses import replace

from benchmarks.planning.simulation.scenarios import Scenario
from contract.planner.choose import choose_plan


def main() -> None:
    models, objects, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    scenario = Scenario("large", models, objects, objects * 20_000_000)
    if kind == "own":
        scenario = replace(
            scenario, datasets=models, objects=objects * models, total_bytes=objects * models * 20_000_000
        )
    problem = scenario.draw(0).problem(86_400)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    plan = choose_plan(problem)
    found = {
        "models": models,
        "objects": objects,
        "datasets": scenario.datasets,
        "jobs": len(plan.jobs),
        "cpu": round(time.process_time() - cpu, 1),
        "wall": round(time.perf_counter() - wall, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000),
        "input_mb": round(before / 1_000),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
