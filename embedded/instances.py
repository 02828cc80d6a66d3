"""Set how instances look in a running embedded AWS: `python -m embedded.instances --help`.

The embedded AWS is the one that `fleetscore up` has started.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from cli.sandbox.isolation import probe
from embedded.sagemaker.instances.settings import InstanceSettings, InstanceSettingsFile
from embedded.server.detached import running_root
from embedded.server.launch import EmbeddedAwsError
from embedded.server.process import sagemaker_root


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m embedded.instances",
        description="Set how the instances of new jobs look in the embedded AWS that `fleetscore up` has started. "
        "Settings that are not named get their defaults. docs/reference/embedded-aws.md describes them.",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path(".fleetscore"),
        help="the --state-dir of `fleetscore up` (default: .fleetscore)",
    )
    for field in fields(InstanceSettings):
        parse = int if field.name.endswith("_bytes") else str
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=parse, default=field.default)
    options = vars(parser.parse_args(arguments))
    try:
        file = InstanceSettingsFile(sagemaker_root(running_root(options.pop("state_dir"))), probe())
        file.set(InstanceSettings(**options))
    except EmbeddedAwsError as error:
        print(error, file=sys.stderr)
        return 1
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(file.read())
    return 0


if __name__ == "__main__":
    sys.exit(main())
