"""How much CPU time, memory and S3 writes does the plan of a large execution take?

The plan runs as in its function, with AWS's own client library. `server` answers its requests over
HTTP without encryption, in a process of its own, whose CPU time does not count.
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
from benchmarks.planning.fleet import MODELS_BUCKET, Fleet
from benchmarks.planning.plan import Usage
from contract import codec, environment
from contract.catalog.models import Compute

RESULTS = Path(__file__).parents[1] / "results" / "functions" / "planning.json"
_FLEETS = (Fleet(1_000, 10_000), Fleet(10_000, 10, own_datasets=True), Fleet(10_000, 1_000, routed=True))
_QUICK = (Fleet(100, 1_000), Fleet(1_000, 10, own_datasets=True), Fleet(1_000, 100, routed=True))
_REGION = "eu-central-1"
_COMPUTE = Compute(instance_type="ml.m5.xlarge", instance_count=1, volume_size_gb=30, max_runtime_seconds=3_600)
VARIABLES = {
    environment.STAGE: "bench",
    environment.DATASETS_BUCKET: "datasets-bench",
    environment.MODELS_BUCKET: MODELS_BUCKET,
    environment.RESULTS_BUCKET: "results-bench",
    environment.TABLE_NAME: "fleetscore-bench",
    environment.RECORD_DAYS: "90",
    environment.KEY_ARN: f"arn:aws:kms:{_REGION}:123456789012:key/11111111-2222-3333-4444-555555555555",
    environment.INSTANCE_TYPES: '["ml.m*"]',
    environment.DEFAULT_COMPUTE: codec.dumps(_COMPUTE),
    environment.DEFAULT_MAX_CONCURRENCY: "100",
    environment.DEFAULT_MODELS_PER_JOB: "1",
    environment.PLANNED_INSTANCE_TYPES: "[]",
    environment.DEFAULT_TOLERATED_FAILURE_PERCENTAGE: "0",
    environment.DEFAULT_TOLERATED_FAILED_OBJECTS_PERCENTAGE: "100",
    environment.DEFAULT_TOLERATED_QUARANTINED_ROWS_PERCENTAGE: "100",
    environment.IMAGE_URIS: f'{{"core": "123456789012.dkr.ecr.{_REGION}.amazonaws.com/scoring:core"}}',
    "AWS_DEFAULT_REGION": _REGION,
    "AWS_ACCESS_KEY_ID": "no-key",
    "AWS_SECRET_ACCESS_KEY": "no-secret",
}
"""Environment of the function."""


def measure(fleet: Fleet) -> Usage:
    """Plan an execution over a fleet in a process of its own."""
    with running_server("benchmarks.planning.server", asdict(fleet)) as url, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "usage.json"
        # No configuration file of this machine applies.
        own = {"AWS_ENDPOINT_URL": url, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        command = [sys.executable, "-m", "benchmarks.planning.plan", str(file), "bench-1", "{}"]
        subprocess.run(command, env={**os.environ, **VARIABLES, **own}, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
        return Usage(**json.loads(file.read_text(encoding="utf-8")))


def _show(fleet: Fleet, usage: Usage) -> None:
    kind = "datasets of their own" if fleet.own_datasets else "a fleet" if fleet.routed else "one dataset"
    requests = ", ".join(f"{count:,} {name}" for name, count in sorted(usage.requests.items()))
    print(f"{fleet.models:,} models, {fleet.objects:,} objects, {kind}: {usage.cpu:.1f} s of CPU, {usage.wall:.0f} s,")
    print(f"  {usage.peak_bytes / 1e6:,.0f} MB, {usage.written_bytes / 1e6:,.1f} MB in S3; {requests}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="measure the fleets of the README, not a tenth of them")
    parser.add_argument("--repetitions", type=int, default=1, help="runs of each fleet (default: %(default)s)")
    arguments = parser.parse_args()
    results: list[dict[str, object]] = []
    for fleet in _FLEETS if arguments.full else _QUICK:
        for _ in range(arguments.repetitions):
            usage = measure(fleet)
            results.append({**asdict(fleet), **asdict(usage)})
            _show(fleet, usage)
    if arguments.full:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
