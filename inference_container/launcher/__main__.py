"""The image's entry point: trains with the argument `train`, inspects the container with `inspect`, and scores
without an argument.

A processing job passes no argument, a training job passes `train`. A training job that scores, on spot
capacity, says so in its environment. All run in this process, because SageMaker sends SIGTERM to
process 1. `fleetscore doctor --job` passes `inspect`.
"""

import gc
import importlib
import runpy
import sys

from contract.container_paths import scores_in_training_job

_MODULES = {"scoring": "scoring.job.job", "training": "training.job"}
"""The module of each package that imports what the package needs."""


def main() -> None:
    match sys.argv[1:]:
        case ["train", *rest]:
            package = "scoring" if scores_in_training_job() else "training"
        case ["inspect"]:
            from launcher import inspection  # noqa: PLC0415 - few containers need it

            inspection.main()
            return
        case ["serve", *_]:
            sys.exit("argument: got 'serve', expected none (score) or 'train'; endpoints are not supported")
        case rest:
            package = "scoring"
    sys.argv[1:] = rest
    # Imports make many objects that stay, and hardly any garbage.
    gc.disable()
    importlib.import_module(_MODULES[package])
    gc.freeze()
    gc.enable()
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
