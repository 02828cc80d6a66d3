"""Run the random test for long: `python -m tests.e2e.reliability.soak --help`, or `make soak`.

Every process has an embedded AWS and runs one seed after the other. A line per seed goes to the log, so that a
failure can be repeated: `make soak-seed SEED=<seed>`.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from embedded.cdk.deploy import deploy
from embedded.cdk.synth import synthesize
from embedded.ministack.functions.fork_server import share_models
from embedded.server.embedded_aws import EmbeddedAws
from tests.e2e.reliability.fleet_machine import FleetMachine, SpotFleetMachine, machine_settings
from tests.e2e.reliability.world import PromiseBrokenError
from tests.e2e.stage import Stage, environment, find_stage

ROOT = Path(__file__).parents[3]
STEPS = 6
"""Largest number of rules per example."""
_SPOT_SEEDS = 3
"""Seeds that this divides score on spot capacity."""


def run(number: int, arguments: argparse.Namespace, assembly: Path, log: Path) -> None:
    """Run seeds in one embedded AWS until the time is over or the faults of all processes are enough."""
    share_models()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    sys.stdout = (folder / "output").open("w")
    deadline = time.monotonic() + 60 * arguments.minutes
    current = arguments.seed + number
    seeds = arguments.seeds or sys.maxsize

    def is_over() -> bool:
        done = (current - arguments.seed) // arguments.processes
        return done >= seeds or time.monotonic() > deadline or total(log) >= arguments.faults

    while not is_over():
        with EmbeddedAws(time_scale=0.01) as aws:
            deploy(assembly, aws.endpoint, aws.images)
            with environment(aws.endpoint.environment()):
                stage = find_stage(aws, folder)
                # A fresh server from time to time: the embedded AWS keeps everything in memory.
                for _ in range(arguments.seeds_per_server):
                    if is_over():
                        break
                    run_seed(stage, current, arguments, log)
                    current += arguments.processes


def run_seed(stage: Stage, number: int, arguments: argparse.Namespace, log: Path) -> None:
    """Run the examples of one seed, and append what happened to the log."""
    FleetMachine.begin(stage, f"s{number}")
    PromiseBrokenError.raised.clear()
    began, failure = time.monotonic(), ""
    try:
        examples = machine_settings(arguments.examples, STEPS, shrink=arguments.shrink)
        machine = SpotFleetMachine if number % _SPOT_SEEDS == 0 else FleetMachine
        run_state_machine_as_test(seed(number)(machine), settings=examples)
    except BaseException as error:  # a defect of the test must not end the run either
        if isinstance(error, KeyboardInterrupt):
            raise
        failure = "\n\n".join([*PromiseBrokenError.raised, "".join(traceback.format_exception(error))])
    line = {
        "seed": number,
        "seconds": round(time.monotonic() - began, 1),
        "examples": FleetMachine.examples,
        "faults": FleetMachine.counts.total(),
        "kinds": dict(FleetMachine.counts),
        "failure": failure,
    }
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")


def total(log: Path) -> int:
    """Return the number of faults that have happened in all processes."""
    return sum(json.loads(line)["faults"] for line in log.read_text().splitlines())


def report(log: Path, seconds: float) -> str:
    """Return the numbers of a run as a table in Markdown."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    kinds: Counter[str] = Counter()
    for line in lines:
        kinds.update(line["kinds"])
    failed = [line for line in lines if line["failure"]]
    head = (
        f"{kinds.total():,} faults in {sum(line['examples'] for line in lines):,} examples of {len(lines):,} seeds, "
        f"{seconds / 60:.0f} minutes; {len(failed):,} seeds found something"
    )
    rows = [f"| `{kind}` | {count:,} |" for kind, count in kinds.most_common()]
    shown = [f"\nseed {line['seed']}:\n{line['failure'][:6_000]}" for line in failed]
    return "\n".join([head, "", "| Fault | Times |", "|---|---:|", *rows, *shown])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000 * 1_000, help="first seed")
    parser.add_argument("--faults", type=int, default=10_000, help="end when so many faults have happened")
    parser.add_argument("--minutes", type=float, default=120, help="end after this time")
    parser.add_argument("--processes", type=int, default=3 * (os.cpu_count() or 2), help="embedded AWSs in parallel")
    parser.add_argument("--examples", type=int, default=4, help="examples per seed")
    parser.add_argument("--seeds", type=int, default=0, help="seeds per process; 0 means no limit")
    parser.add_argument("--seeds-per-server", type=int, default=10)
    parser.add_argument("--assembly", type=Path, help="folder with synthesized templates; default: synthesize")
    parser.add_argument("--shrink", action="store_true", help="look for the shortest example of a failure")
    parser.add_argument("--log", type=Path, default=Path("build/soak.jsonl"))
    arguments = parser.parse_args()
    log: Path = arguments.log
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    print(f"first seed {arguments.seed}, a line per seed in {log}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        assembly = arguments.assembly or synthesize(
            ROOT / "app.py", Path(folder) / "cdk.out", {"fleetscore.job_starts_per_second": 100}
        )
        context = get_context("spawn")
        processes = [
            context.Process(target=run, args=(number, arguments, assembly, log))
            for number in range(arguments.processes)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    print(report(log, time.monotonic() - began))
    return int(any(json.loads(line)["failure"] for line in log.read_text().splitlines()))


if __name__ == "__main__":
    sys.exit(main())
