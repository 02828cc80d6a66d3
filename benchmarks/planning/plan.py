"""Plan one execution in this process, as the function PlanExecution does, and write down what it took.

Its environment has the variables of the function. The arguments are the file for the `Usage`, because
the function's metrics go to standard output, and the execution's name and request.
"""

import json
import resource
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contract.workflow.messages import ExecutionPlanInput
from lambdas.plan_execution.plan import plan_execution
from lambdas.stage.resources import resources


@dataclass(frozen=True)
class Usage:
    """What a plan took."""

    jobs: int
    cpu: float
    """CPU time of the plan, without the start of the process, in seconds."""
    wall: float
    peak_bytes: int
    """Largest resident memory of the process."""
    requests: dict[str, int]
    """Number of requests by operation."""
    written_bytes: int
    """Bytes written to S3."""


class _Requests:
    """Counts the requests of clients."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.written = 0
        self._lock = threading.Lock()

    def watch(self, client: Any) -> None:
        client.meta.events.register("provide-client-params", self._count)

    def _count(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        with self._lock:
            self.counts[model.name] += 1
            self.written += len(params.get("Body", b""))


def main() -> None:
    deployment, defaults = resources().deployment, resources().plan_defaults
    requests = _Requests()
    requests.watch(deployment.store._s3)  # noqa: SLF001 - the plan's own clients, whose requests are counted
    requests.watch(deployment.table._dynamodb)  # noqa: SLF001
    name, request = sys.argv[2:]
    arn = f"arn:aws:states:eu-central-1:123456789012:execution:fleetscore-bench:{name}"
    event = ExecutionPlanInput(name, arn, "2026-01-05T10:00:00.123Z", json.loads(request))
    cpu, wall = time.process_time(), time.perf_counter()
    plan = plan_execution(event, deployment, defaults, resources().activity)
    usage = Usage(
        jobs=plan.job_count,
        cpu=time.process_time() - cpu,
        wall=time.perf_counter() - wall,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024,
        requests=dict(requests.counts),
        written_bytes=requests.written,
    )
    Path(sys.argv[1]).write_text(json.dumps(asdict(usage)))


if __name__ == "__main__":
    main()
