"""Schedule faults in a running embedded AWS: `python -m embedded.faults --help`.

The embedded AWS is the one that `fleetscore up` has started.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from embedded.sagemaker.faults import Faults
from embedded.server.programs import change_running, program_parser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = program_parser("embedded.faults", "Schedule faults in the embedded AWS that `fleetscore up` has started.")
    commands = parser.add_subparsers(dest="command", required=True)
    spot = commands.add_parser("interrupt-spot", help="interrupt the spot instances of training jobs")
    spot.add_argument("job_name", help="name of the training job, with the wildcards * and ?")
    spot.add_argument(
        "--after-checkpoints", type=int, default=0, help="interrupt after this many checkpoint uploads (default: 0)"
    )
    spot.add_argument("--after-log", help="interrupt after a log line matches this regular expression")
    spot.add_argument("--times", type=int, default=1, help="number of attempts to interrupt (default: 1)")
    corrupt = commands.add_parser("corrupt-output", help="change a byte of an object on its way from a job to S3")
    corrupt.add_argument("key", help="key of the object in its bucket, with the wildcards * and ?")
    corrupt.add_argument("--times", type=int, default=1, help="number of objects to change (default: 1)")
    commands.add_parser("pending", help="show the faults that have not happened yet")
    commands.add_parser("cancel", help="cancel all pending faults")
    options = parser.parse_args(arguments)

    def change(root: Path) -> None:
        faults = Faults(root)
        if options.command == "interrupt-spot":
            faults.interrupt_spot(
                options.job_name,
                after_checkpoints=options.after_checkpoints,
                after_log=options.after_log,
                times=options.times,
            )
        elif options.command == "corrupt-output":
            faults.corrupt_output(options.key, times=options.times)
        elif options.command == "cancel":
            print(f"{faults.cancel()} cancelled")
        for fault in faults.pending():
            print(fault)

    return change_running(options.state_dir, change)


if __name__ == "__main__":
    sys.exit(main())
