"""The image's entry point: trains with the argument `train`, inspects the container with `inspect`, and scores
without an argument.

A processing job passes no argument, a training job passes `train`. Both run in this process,
because SageMaker sends SIGTERM to process 1. `fleetscore doctor --job` passes `inspect`.
"""

import runpy
import sys

from launcher import inspection


def main() -> None:
    match sys.argv[1:]:
        case ["train", *rest]:
            package = "training"
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
