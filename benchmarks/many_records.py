"""How long do listing executions, and closing the jobs of one, take with 10,000 records in the table?

Runs in the embedded AWS: the command in a process of its own, and the closing as in its function. Both wait for
a DynamoDB and a Step Functions that are slower than those of AWS, which use this machine's processors too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from cli.stage.connection import Connection
from cli.stage.deployment import find_deployment
from contract.catalog.models import Compute
from contract.status import ExecutionStatus, JobStatus
from contract.table import records
from contract.table.records import ExecutionRecord, JobRecord, record_time
from contract.workflow.messages import ExecutionPlan
from embedded.cdk.deploy import deploy
from embedded.cdk.synth import synthesize
from embedded.server.embedded_aws import EmbeddedAws

ROOT = Path(__file__).parents[1]
_COMMANDS = (
    ["list"],
    ["list", "--status", "FAILED"],
    ["list", "--label", "monthly"],
    ["list", "--last", "10000"],
    ["status"],
)
_RARE = 1_000
"""One of this many executions has failed, and one has the label `monthly`."""
_ENDED = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Pass", "End": True}}})
_COMPUTE = Compute(instance_type="ml.m5.xlarge", instance_count=1, volume_size_gb=30, max_runtime_seconds=3_600)
_EXPIRES = 4_000_000_000
_THREADS = 4


class _Stage:
    """A deployed stage whose records are written without its workflows."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self._aws = aws
        self.deployment = find_deployment(Connection(), "dev")
        self._workflows = aws.endpoint.client("stepfunctions")
        self._table = Connection().resource("dynamodb").Table(self.deployment.table_name)

    def add_executions(self, count: int) -> None:
        """Add executions that have ended, with their records."""
        machine = self.deployment.state_machine_arn
        self._workflows.update_state_machine(stateMachineArn=machine, definition=_ENDED)
        with ThreadPoolExecutor(_THREADS) as threads:
            found = list(threads.map(self._execution, range(count)))
        self._write(records.execution_item(record, _EXPIRES) for record in found)

    def _execution(self, number: int) -> ExecutionRecord:
        name = f"nightly-{number:05d}"
        answer = self._workflows.start_execution(stateMachineArn=self.deployment.state_machine_arn, name=name)
        started = record_time(answer["startDate"].astimezone(UTC))
        failed = number % _RARE == 0
        return replace(
            running_execution(name, answer["executionArn"], started, 40),
            status=ExecutionStatus.PARTLY_FAILED if failed else ExecutionStatus.SUCCEEDED,
            label="monthly" if failed else "nightly",
            ended_at=started,
            jobs_succeeded=39 if failed else 40,
            jobs_failed=int(failed),
            reason="1 of 40 jobs failed:\n- churn: MODEL: 1 of 2 objects failed. " * 5 if failed else "",
        )

    def add_jobs(self, execution: ExecutionRecord, count: int) -> None:
        """Add the record of an execution, with jobs that wait."""
        self._write([records.execution_item(execution, _EXPIRES)])
        self._write(records.job_item(_job(execution.execution_id, number), _EXPIRES) for number in range(count))

    def _write(self, items: Any) -> None:
        with self._table.batch_writer() as batch:
            for item in items:
                batch.put_item(Item=item)


def running_execution(name: str, arn: str, started: str, jobs: int) -> ExecutionRecord:
    plan = ExecutionPlan(name, "results", f"executions/{name}/jobs.json", jobs, 100, 0.0, 100.0, 100.0, 10 * jobs)
    return ExecutionRecord(name, arn, ExecutionStatus.RUNNING, started, "{}", plan=plan)


def _job(execution_id: str, number: int) -> JobRecord:
    name = f"model-{number:05d}"
    return JobRecord(
        execution_id,
        name,
        JobStatus.PENDING,
        "flights",
        (name,),
        ("1",),
        10,
        10_000_000,
        _COMPUTE,
        3,
        created_at="2026-01-05",
    )


def _run(command: list[str]) -> tuple[float, float, int]:
    """Return the seconds, the CPU seconds and the peak memory, in bytes, of a command of `fleetscore`."""
    before = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "cli.main", "--stage", "dev", *command], stdout=subprocess.DEVNULL, cwd=ROOT
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"fleetscore {' '.join(command)} failed")
    return time.perf_counter() - before, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1_024


def _close(stage: _Stage, aws: EmbeddedAws, jobs: int) -> tuple[float, int]:
    """Return the seconds and the calls that Reconcile needs to close an execution with open jobs."""
    name = f"closing-{jobs}"
    arn = stage.deployment.state_machine_arn.replace(":stateMachine:", ":execution:") + f":{name}"
    now = datetime.now(UTC)
    stage.add_jobs(running_execution(name, arn, record_time(now), jobs), jobs)
    events = aws.endpoint.client("events")
    [rule] = [rule["Name"] for rule in events.list_rules()["Rules"] if "ClosingRule" in rule["Name"]]
    [target] = events.list_targets_by_rule(Rule=rule)["Targets"]
    moment = int(now.timestamp() * 1_000)
    detail = {"executionArn": arn, "name": name, "status": "ABORTED", "startDate": moment, "stopDate": moment + 1_000}
    payload = json.dumps({"source": "aws.states", "detail": detail}).encode()
    # As long as the function may run.
    functions = boto3.client("lambda", config=Config(read_timeout=900, retries={"max_attempts": 0}))
    before, calls = time.perf_counter(), 0
    while True:
        answer = functions.invoke(FunctionName=target["Arn"], Payload=payload)
        calls += 1
        done = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise SystemExit(done)
        if not done["unfinished"]:
            return time.perf_counter() - before, calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="executions, and jobs (default: %(default)s)")
    parser.add_argument("--only", choices=["list", "close"], help="measure one of them only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedAws(time_scale=0.01) as aws:
        deploy(synthesize(ROOT / "app.py", Path(folder)), aws.endpoint, aws.images)
        os.environ.update(aws.endpoint.environment())
        stage = _Stage(aws)
        if arguments.only != "list":
            seconds, calls = _close(stage, aws, arguments.count)
            print(f"closing {arguments.count:,} jobs: {seconds:.0f} s, calls of the function: {calls}", flush=True)
        if arguments.only != "close":
            before = time.perf_counter()
            stage.add_executions(arguments.count)
            print(f"{arguments.count:,} executions added in {time.perf_counter() - before:.0f} s", flush=True)
            for command in _COMMANDS:
                seconds, cpu, peak = _run(command)
                print(
                    f"fleetscore {' '.join(command)}: {seconds:.1f} s, {cpu:.1f} s of CPU, {peak / 1e6:,.0f} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
