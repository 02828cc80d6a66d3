"""How much CPU time, memory and time does the plan take that resumes an execution of thousands of jobs?

The old execution was stopped after each job had committed half of its objects. The plan runs as in its
function, with AWS's own client library. `server` answers its requests over HTTP without encryption, in a
process of its own, whose CPU time does not count.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.aws_server import running_server
from benchmarks.planning.__main__ import VARIABLES
from benchmarks.planning.fleet import Fleet
from benchmarks.planning.plan import Usage
from contract import environment

RESULTS = Path(__file__).parents[1] / "results" / "functions" / "resuming.json"
_FLEETS = (Fleet(3_000, 100), Fleet(10_000, 10), Fleet(10_000, 10, own_datasets=True))
_QUICK = (Fleet(300, 100), Fleet(1_000, 10, own_datasets=True))


def measure(fleet: Fleet) -> Usage:
    """Plan an execution in one process, and plan to resume it in another."""
    with running_server("benchmarks.resuming.server", asdict(fleet)) as url, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "usage.json"
        # No configuration file of this machine applies, and nothing traces here.
        own = {"AWS_ENDPOINT_URL": url, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        own |= {environment.PREDICTIONS_EXPIRY_DAYS: "365", "POWERTOOLS_TRACE_DISABLED": "true"}
        for command in (
            ["benchmarks.resuming.prepare"],
            ["benchmarks.planning.plan", str(file), "bench-2", '{"resume": "bench-1"}'],
        ):
            variables = {**os.environ, **VARIABLES, **own}
            subprocess.run([sys.executable, "-m", *command], env=variables, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
        return Usage(**json.loads(file.read_text(encoding="utf-8")))


def _show(fleet: Fleet, usage: Usage) -> None:
    kind = "datasets of their own" if fleet.own_datasets else "one dataset"
    requests = ", ".join(f"{count:,} {name}" for name, count in sorted(usage.requests.items()))
    print(f"{fleet.models:,} models, {fleet.objects:,} objects, {kind}: {usage.cpu:.1f} s of CPU, {usage.wall:.0f} s,")
    print(f"  {usage.peak_bytes / 1e6:,.0f} MB, {usage.written_bytes / 1e6:,.1f} MB in S3; {requests}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="measure the executions of the README")
    arguments = parser.parse_args()
    results: list[dict[str, object]] = []
    for fleet in _FLEETS if arguments.full else _QUICK:
        usage = measure(fleet)
        results.append({**asdict(fleet), **asdict(usage)})
        _show(fleet, usage)
    if arguments.full:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
