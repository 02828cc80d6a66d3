"""How much time and memory do thousands of models and objects need in the embedded AWS, by part?

python -m benchmarks.scale                    # a hundredth of the numbers of docs/why/scale.md
python -m benchmarks.scale --full packed      # one of the parts in full
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scale.fleet import DATASET, rows, write_models
from benchmarks.scale.usage import Usage, UsageMeter
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment, find_deployment
from contract import layout
from embedded.cdk.deploy import deploy
from embedded.cdk.synth import synthesize
from embedded.server.embedded_aws import EmbeddedAws

ROOT = Path(__file__).parents[2]
_ROWS = 100
_UPLOADS = 16


@dataclass
class _Stage:
    """A stage in an embedded AWS of its own."""

    aws: EmbeddedAws
    deployment: Deployment
    folder: Path
    meter: UsageMeter

    def command(self, *arguments: str) -> float:
        """Run `fleetscore`. Return its processor time in seconds."""
        command = [sys.executable, "-m", "cli.main", "--stage", "dev", "--json", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)  # noqa: S603
        output = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"fleetscore {' '.join(arguments)} failed: {output.decode()[-2_000:]}")
        return usage.ru_utime + usage.ru_stime

    @contextmanager
    def reported(self, what: str) -> Iterator[list[float]]:
        """Print what the block needs. The block may append seconds of the command's processor time."""
        found: list[Usage] = []
        command: list[float] = []
        before = time.perf_counter()
        with self.meter.measured(found):
            yield command
        [usage] = found
        print(
            f"{what}: {time.perf_counter() - before:.0f} s; CPU: command {sum(command):.0f} s, embedded AWS "
            f"{usage.server_seconds:.0f} s, functions {usage.function_seconds:.0f} s, containers "
            f"{usage.container_seconds:.0f} s; embedded AWS at most {usage.server_bytes / 1e6:.0f} MB; load "
            f"{os.getloadavg()[0]:.1f}",
            flush=True,
        )

    def put_objects(self, count: int) -> None:
        s3 = self.aws.endpoint.client("s3")
        content = rows(_ROWS)

        def put(number: int) -> None:
            key = f"{layout.dataset_prefix(DATASET)}part-{number:06d}.parquet"
            s3.put_object(Bucket=self.deployment.datasets_bucket, Key=key, Body=content)

        with ThreadPoolExecutor(_UPLOADS) as threads:
            list(threads.map(put, range(count)))

    def register(self, count: int) -> None:
        bulk = write_models(self.folder, count)
        with self.reported(f"registration of {count:,} models") as command:
            command.append(self.command("models", "register", "--bulk", str(bulk)))

    def run(self, what: str, request: dict[str, Any]) -> None:
        with self.reported(what) as command:
            command.append(self.command("run", "--name", "scale", "--input", json.dumps(request)))
            arn = self.deployment.state_machine_arn.replace(":stateMachine:", ":execution:") + ":scale"
            workflows = self.aws.endpoint.client("stepfunctions")
            while (status := workflows.describe_execution(executionArn=arn)["status"]) == "RUNNING":
                time.sleep(1)  # `fleetscore run --wait` reads the records of all jobs every second
        if status != "SUCCEEDED":
            raise SystemExit(f"the execution {arn} is {status}")
        jobs = self.aws.endpoint.client("sagemaker").get_paginator("list_processing_jobs").paginate()
        print(f"jobs: {sum(len(page['ProcessingJobSummaries']) for page in jobs):,}", flush=True)


@contextmanager
def _stage(starts_per_second: float) -> Iterator[_Stage]:
    context = {"fleetscore.job_starts_per_second": starts_per_second}
    with tempfile.TemporaryDirectory() as folder, EmbeddedAws() as aws:
        deploy(synthesize(ROOT / "app.py", Path(folder) / "cdk.out", context), aws.endpoint, aws.images)
        os.environ.update(aws.endpoint.environment())
        yield _Stage(aws, find_deployment(Connection(), "dev"), Path(folder), UsageMeter(aws.process_id))


def _packed(size: float, starts_per_second: float) -> None:
    """10,000 models in one execution, packed by the planner."""
    models = int(10_000 * size)
    with _stage(starts_per_second) as stage:
        stage.put_objects(1)
        stage.register(models)
        stage.run(f"{models:,} models over 1 object, packed by the planner", {"models_per_job": "auto"})


def _unpacked(size: float, starts_per_second: float) -> None:
    """3,000 jobs of one model."""
    models = int(3_000 * size)
    with _stage(starts_per_second) as stage:
        stage.put_objects(1)
        stage.register(models)
        stage.run(f"{models:,} jobs of one model over 1 object", {"max_concurrency": 4})


def _objects(size: float, starts_per_second: float) -> None:
    """100,000 objects in one dataset."""
    objects = int(100_000 * size)
    with _stage(starts_per_second) as stage:
        with stage.reported(f"upload of {objects:,} objects"):
            stage.put_objects(objects)
        stage.register(1)
        stage.run(f"1 model over {objects:,} objects", {})


_PARTS = {"packed": _packed, "unpacked": _unpacked, "objects": _objects}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)} (default: all)")
    parser.add_argument("--full", action="store_true", help="the numbers of docs/why/scale.md")
    parser.add_argument("--size", type=float, default=0.01, help="part of the full numbers (default: %(default)s)")
    parser.add_argument(
        "--starts-per-second",
        type=float,
        default=1.0,
        help="setting job_starts_per_second of the stage (default: %(default)s)",
    )
    arguments = parser.parse_args()
    for name in arguments.parts or _PARTS:
        _PARTS[name](1.0 if arguments.full else arguments.size, arguments.starts_per_second)


if __name__ == "__main__":
    main()
