"""Command line shared by the programs that change a running embedded AWS."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from embedded.server.detached import running_root
from embedded.server.launch import EmbeddedAwsError
from embedded.server.process import sagemaker_root


def program_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the option that names the embedded AWS."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path(".fleetscore"),
        help="the --state-dir of `fleetscore up` (default: .fleetscore)",
    )
    return parser


def change_running(state_dir: Path, change: Callable[[Path], None]) -> int:
    """Call `change` with the SageMaker folder of the running embedded AWS; return the exit status.

    1 means that no embedded AWS runs, and 2 that `change` refused a value; the reason is printed.
    """
    try:
        change(sagemaker_root(running_root(state_dir)))
    except (EmbeddedAwsError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, EmbeddedAwsError) else 2
    return 0
