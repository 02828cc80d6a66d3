"""Schedule faults in a running embedded AWS: `python -m embedded.faults --help`.

The embedded AWS is the one that `fleetscore up` has started.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from embedded.sagemaker.faults import Faults
from embedded.server.detached import running_root
from embedded.server.launch import EmbeddedAwsError
from embedded.server.process import sagemaker_root


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m embedded.faults",
        description="Schedule faults in the embedded AWS that `fleetscore up` has started.",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path(".fleetscore"),
        help="the --state-dir of `fleetscore up` (default: .fleetscore)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    spot = commands.add_parser("interrupt-spot", help="interrupt the spot instances of training jobs")
    spot.add_argument("job_name", help="name of the training job, with the wildcards * and ?")
    spot.add_argument(
        "--after-checkpoints", type=int, default=0, help="interrupt after this many checkpoint uploads (default: 0)"
    )
    spot.add_argument("--after-log", help="interrupt after a log line matches this regular expression")
    spot.add_argument("--times", type=int, default=1, help="number of attempts to interrupt (default: 1)")
    commands.add_parser("pending", help="show the faults that have not happened yet")
    commands.add_parser("cancel", help="cancel all pending faults")
    options = parser.parse_args(arguments)
    try:
        faults = Faults(sagemaker_root(running_root(options.state_dir)))
    except EmbeddedAwsError as error:
        print(error, file=sys.stderr)
        return 1
    if options.command == "interrupt-spot":
        try:
            faults.interrupt_spot(
                options.job_name,
                after_checkpoints=options.after_checkpoints,
                after_log=options.after_log,
                times=options.times,
            )
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
    elif options.command == "cancel":
        print(f"{faults.cancel()} cancelled")
    for order in faults.pending():
        print(order)
    return 0


if __name__ == "__main__":
    sys.exit(main())
