"""Gives the embedded AWS that `fleetscore up` has started an order for a fault: `python -m embedded.faults --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from embedded.sagemaker.faults import Faults
from embedded.server.embedded_aws import detached_endpoint, detached_root
from embedded.server.process import sagemaker_root


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m embedded.faults", description=__doc__.partition(":")[0])
    parser.add_argument("--state-dir", type=Path, default=Path(".fleetscore"), help="that of `fleetscore up`")
    commands = parser.add_subparsers(dest="command", required=True)
    spot = commands.add_parser("interrupt-spot", help="take the spot instances of training jobs away")
    spot.add_argument("job_name", help="name of the training job; * and ? stand for any letters and one")
    spot.add_argument("--after-checkpoints", type=int, default=0, help="uploads to its checkpoint prefix before")
    spot.add_argument("--after-log", help="a regular expression that must have been found in a printed line before")
    spot.add_argument("--times", type=int, default=1, help="how often, each time in another attempt")
    commands.add_parser("pending", help="show the orders that have not happened yet")
    commands.add_parser("cancel", help="take back all orders")
    options = parser.parse_args(arguments)
    if detached_endpoint(options.state_dir) is None:
        text = f"no embedded AWS runs with its files in {options.state_dir}: start one with `fleetscore up`"
        print(text, file=sys.stderr)
        return 1
    faults = Faults(sagemaker_root(detached_root(options.state_dir)))
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
        print(f"{faults.cancel()} taken back")
    for order in faults.pending():
        print(order)
    return 0


if __name__ == "__main__":
    sys.exit(main())
