"""The image's entry point: scoring as a processing job starts it, training as SageMaker does with `train`.

The same process goes on as the one or the other, so that process 1 is the one that must get SageMaker's SIGTERM.
"""

import runpy
import sys


def main() -> None:
    match sys.argv[1:]:
        case ["train", *rest]:
            room = "training"
        case ["serve", *_]:
            sys.exit("this image scores (no argument) and trains (`train`); it is no endpoint, so it cannot `serve`")
        case rest:
            room = "scoring"
    sys.argv[1:] = rest
    runpy.run_module(room, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
