"""A stand-in for `docker`, with which the CDK CLI publishes image assets.

The CLI runs the program that CDK_DOCKER names with login, inspect, build, tag and push. `build`
registers the build context in the image store, and `push` records the image in ECR, where the CLI
and `fleetscore doctor` look for it. Nothing else is sent.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.images.dockerfile import DockerfileError
from embedded.images.image_store import ImageNotRegisteredError, ImageStore

if TYPE_CHECKING:  # each `docker` command is a process, and these imports would slow it down
    from embedded.cdk.node import Node
    from embedded.server.endpoint import Endpoint

IMAGES_VARIABLE = "EMBEDDED_AWS_IMAGES"
REGISTRY_VARIABLE = "EMBEDDED_AWS_REGISTRY"
"""Variable with the endpoint whose ECR gets the pushed images."""
_PROJECT = Path(__file__).resolve().parent.parent.parent


def cdk_environment(endpoint: Endpoint, image_root: Path, node: Node, folder: Path) -> dict[str, str]:
    """Return the variables that point the CDK CLI to an embedded AWS.

    The stand-in for `docker` is written to `folder`.
    """
    return {
        **endpoint.environment(),
        **node.environment(),
        "CDK_DOCKER": str(_write_program(folder)),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DEFAULT_ACCOUNT": endpoint.account_id,
        "CDK_DEFAULT_REGION": endpoint.region,
        IMAGES_VARIABLE: str(image_root),
        REGISTRY_VARIABLE: endpoint.to_json(),
    }


def _write_program(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "docker"
    path = f"import sys; sys.path.insert(0, {str(_PROJECT)!r})"
    code = f"{path}; from embedded.images.docker_shim import main; sys.exit(main())"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n')
    program.chmod(0o755)
    return program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one `docker` command and return its exit status."""
    parser = argparse.ArgumentParser(prog="docker", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    login = commands.add_parser("login")
    login.add_argument("--username", "-u")
    login.add_argument("--password-stdin", action="store_true")
    login.add_argument("registry", nargs="?")
    commands.add_parser("inspect").add_argument("image")
    build = commands.add_parser("build")
    build.add_argument("--tag", "-t", required=True)
    build.add_argument("--file", "-f", default="Dockerfile")
    # The platform has no effect: the code runs on this machine.
    build.add_argument("--platform")
    build.add_argument("--build-arg", action="append", default=[])
    build.add_argument("directory", type=Path)
    tag = commands.add_parser("tag")
    tag.add_argument("source")
    tag.add_argument("target")
    commands.add_parser("push").add_argument("image")
    # An unknown option exits with status 2 and its name.
    given = parser.parse_args(arguments)
    images = ImageStore(Path(os.environ[IMAGES_VARIABLE]))
    try:
        return _carry_out(given, images)
    except (DockerfileError, ImageNotRegisteredError, OSError) as failure:
        print(f"docker {given.command}: {failure}", file=sys.stderr)
        return 1


def _carry_out(given: argparse.Namespace, images: ImageStore) -> int:
    match given.command:
        case "login":
            if given.password_stdin:
                sys.stdin.read()
            print("Login Succeeded")
        case "inspect":
            return 0 if images.resolve(given.image) is not None else 1
        case "build":
            arguments = {name: value for name, _, value in (item.partition("=") for item in given.build_arg)}
            images.register(given.tag, given.directory.resolve(), given.file, arguments)
        case "tag":
            images.tag(given.source, given.target)
        case "push":
            if images.resolve(given.image) is None:
                raise ImageNotRegisteredError(given.image)
            _record(given.image)
    return 0


def _record(image_uri: str) -> None:
    # Only `push` needs boto3.
    from embedded.images.registry import record_image  # noqa: PLC0415
    from embedded.server.endpoint import Endpoint  # noqa: PLC0415

    record_image(image_uri, Endpoint.from_json(os.environ[REGISTRY_VARIABLE]).client("ecr"))


if __name__ == "__main__":
    sys.exit(main())
