"""The image's entry point: trains with the argument `train`, inspects the container with `inspect`, and scores
without an argument.

A processing job passes no argument, a training job passes `train`. A training job that scores, on spot
capacity, says so in its environment. All run in this process, because SageMaker sends SIGTERM to
process 1. `fleetscore doctor --job` passes `inspect`.
"""

import runpy
import sys

from contract.container_paths import scores_in_training_job
from launcher import inspection


def main() -> None:
    match sys.argv[1:]:
        case ["train", *rest]:
            package = "scoring" if scores_in_training_job() else "training"
        case ["inspect"]:
            inspection.main()
            return
        case ["serve", *_]:
            sys.exit("argument: got 'serve', expected none (score) or 'train'; endpoints are not supported")
        case rest:
            package = "scoring"
    sys.argv[1:] = rest
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
