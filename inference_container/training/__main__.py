"""Training's entry point: `python -m training`, which the image's argument `train` leads to."""

import argparse
import os
import sys

from contract.layout import TrainingPaths
from scoring.supervision.cores import core_budget
from training.job import run


def main() -> int:
    # Threads that wait must not spin: on cores that others use too, a round of boosting took five times as long, and
    # six times the CPU. Read when a library with OpenMP is loaded, which is later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(prog="training", description="Train the model of a training spec.")
    parser.add_argument("--cores", type=int, default=None, help="cores to use (default: all of the container)")
    arguments = parser.parse_args()
    if arguments.cores is not None and arguments.cores < 1:
        parser.error("--cores takes a whole number from 1")
    return run(TrainingPaths.from_environment(), arguments.cores or core_budget())


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written: nothing is left that is worth the interpreter's time to take apart.
    os._exit(code)
