"""Set the mounts, disks, start-up times and sizes of instances in a running embedded AWS.

`python -m embedded.instances --help` lists the options.

The embedded AWS is the one that `fleetscore up` has started.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from cli.sandbox.isolation import probe
from embedded.sagemaker.instances.settings import InstanceSettings, InstanceSettingsFile
from embedded.server.programs import change_running, program_parser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = program_parser(
        "embedded.instances",
        "Set mounts, disks, input layout, start-up times and sizes of new jobs in the embedded AWS that "
        "`fleetscore up` has started. Settings that are not named get their defaults. "
        "docs/reference/embedded-aws.md describes them.",
    )
    for field in fields(InstanceSettings):
        parse = int if "_bytes" in field.name else float if field.name.startswith("startup_") else str
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=parse, default=field.default)
    options = vars(parser.parse_args(arguments))

    def change(root: Path) -> None:
        file = InstanceSettingsFile(root, probe())
        file.set(InstanceSettings(**options))
        print(file.read())

    return change_running(options.pop("state_dir"), change)


if __name__ == "__main__":
    sys.exit(main())
