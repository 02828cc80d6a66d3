"""The entry point of a worker process."""

import gc
import sys


def main() -> None:
    # Imports make many objects that stay, and hardly any garbage.
    gc.disable()
    from scoring.worker import process  # noqa: PLC0415 - after the line above

    process.run(int(sys.argv[1]), sys.argv[2:])


if __name__ == "__main__":
    main()
