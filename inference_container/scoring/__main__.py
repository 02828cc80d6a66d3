"""The container's entry point: `python -m scoring`."""

import argparse
import os

from contract.container_paths import ContainerPaths
from scoring.job.job import run
from scoring.job_log.own_output import end_own_output, log_own_output
from scoring.supervision.cores import core_budget


def main() -> int:
    parser = argparse.ArgumentParser(prog="scoring", description="Score this instance's shard of a job.")
    parser.add_argument(
        "--workers",
        type=int,
        default=None,
        help="number of worker processes (default: depends on the size of the shard)",
    )
    parser.add_argument(
        "--cores", type=int, default=None, help="number of cores to use (default: all cores of the container)"
    )
    arguments = parser.parse_args()
    if any(number is not None and number < 1 for number in (arguments.workers, arguments.cores)):
        parser.error("--workers and --cores must be whole numbers of at least 1")
    log_own_output()
    return run(ContainerPaths.from_environment(), arguments.cores or core_budget(), arguments.workers)


if __name__ == "__main__":
    code = main()
    end_own_output()
    # All files are written and all workers have ended, so skip the interpreter's slow shutdown.
    os._exit(code)
