"""How much CPU time and memory does VerifyOutput take for a large job?

The step runs as in its function, with AWS's own client library. `server` answers its requests over
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
from benchmarks.verifying.job import DATASETS_BUCKET, RESULTS_BUCKET, Job
from benchmarks.verifying.verify import Usage
from contract import environment

RESULTS = Path(__file__).parents[1] / "results" / "functions" / "verifying.json"
_JOBS = (Job(1, 20_000), Job(100, 10_000), Job(100, 10_000, "joined"), Job(1, 1_000_000), Job(10_000, 10_000, "fleet"))
_QUICK = (Job(10, 1_000), Job(10, 1_000, "joined"), Job(1_000, 1_000, "fleet"))
_REGION = "eu-central-1"
_VARIABLES = {
    environment.STAGE: "bench",
    environment.DATASETS_BUCKET: DATASETS_BUCKET,
    environment.MODELS_BUCKET: "models-bench",
    environment.RESULTS_BUCKET: RESULTS_BUCKET,
    environment.TABLE_NAME: "fleetscore-bench",
    environment.RECORD_DAYS: "90",
    environment.KEY_ARN: f"arn:aws:kms:{_REGION}:123456789012:key/11111111-2222-3333-4444-555555555555",
    "AWS_DEFAULT_REGION": _REGION,
    "AWS_ACCESS_KEY_ID": "no-key",
    "AWS_SECRET_ACCESS_KEY": "no-secret",
    # Nothing traces here.
    "POWERTOOLS_TRACE_DISABLED": "true",
}
"""Environment of the function."""


def measure(job: Job, compared: str) -> Usage:
    """Verify a job in a process of its own."""
    with running_server("benchmarks.verifying.server", asdict(job)) as url, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "usage.json"
        # No configuration file of this machine applies.
        own = {"AWS_ENDPOINT_URL": url, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        variables = {**os.environ, **_VARIABLES, **own, environment.COMPARED_CHECKSUMS: compared}
        subprocess.run([sys.executable, "-m", "benchmarks.verifying.verify", str(file)], env=variables, check=True)  # noqa: S603
        return Usage(**json.loads(file.read_text(encoding="utf-8")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="measure the jobs of the README")
    parser.add_argument("--job", nargs=2, type=int, metavar=("MODELS", "OBJECTS"), help="measure one job only")
    parser.add_argument(
        "--compared", choices=["sampled", "all"], default="sampled", help="the setting (default: %(default)s)"
    )
    arguments = parser.parse_args()
    results: list[dict[str, object]] = []
    chosen = _JOBS if arguments.full else _QUICK
    for job in (Job(*arguments.job),) if arguments.job else chosen:
        usage = measure(job, arguments.compared)
        results.append({**asdict(job), "compared": arguments.compared, **asdict(usage)})
        print(f"{job.models:,} models, {job.objects:,} objects, {job.output_layout}, {arguments.compared}: ", end="")
        print(f"{usage.cpu:.1f} s of CPU, {usage.wall:.0f} s, {usage.peak_bytes / 1e6:,.0f} MB", flush=True)
    if arguments.full and not arguments.job:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
