"""The entry point `python -m training`, which the image runs for the argument `train`."""

import argparse
import os

from contract.container_paths import TrainingPaths
from scoring.job_log.own_output import end_own_output, log_own_output
from scoring.supervision.cores import core_budget
from training.job import run


def main() -> int:
    # Waiting threads must not spin: on shared cores, spinning made a boosting round five times as
    # long and used six times the CPU. Libraries read the variable when they load OpenMP, which is
    # later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(prog="training", description="Train the model that a training spec describes.")
    parser.add_argument("--cores", type=int, default=None, help="cores to use (default: all of the container)")
    arguments = parser.parse_args()
    if arguments.cores is not None and arguments.cores < 1:
        parser.error("--cores must be a whole number of at least 1")
    log_own_output()
    return run(TrainingPaths.from_environment(), arguments.cores or core_budget())


if __name__ == "__main__":
    code = main()
    end_own_output()
    # All output is written, so skip the interpreter's slow shutdown.
    os._exit(code)
