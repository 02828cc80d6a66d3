"""`fleetscore up` and `down`: the only commands that know the embedded AWS."""

import os
import shlex
import signal
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from cli.failures import CommandError, ExitStatus
from cli.output import Output
from cli.stage.connection import Connection

if TYPE_CHECKING:
    from embedded.images.image_store import ImageStore
    from embedded.server.endpoint import Endpoint

_FOREIGN = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")
"""Left over from a real account, these would be used beside the embedded AWS's own keys."""


def up(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    """Start, deploy, print exports. The exports are all that goes to standard output: `eval "$(fleetscore up)"`."""
    _need_the_checkout()
    from embedded.images.image_store import ImageStore  # noqa: PLC0415
    from embedded.server.embedded_aws import (  # noqa: PLC0415 - on an AWS account nothing may need the embedded AWS
        EmbeddedAws,
        detached_endpoint,
        detached_root,
        start_detached,
        stop_detached,
    )
    from embedded.server.process import image_root  # noqa: PLC0415

    state_dir: Path = options.state_dir
    with _explained(), ended_by_signals(), _signed_in_to_nothing():
        if options.foreground:
            with EmbeddedAws() as aws:
                _deploy(options, aws.endpoint, aws.images, aws.root, output)
                _print(options, aws.endpoint, output)
                output.notice("The embedded AWS runs until Ctrl-C.")
                with suppress(KeyboardInterrupt):
                    signal.pause()
            return ExitStatus.SUCCEEDED
        endpoint = detached_endpoint(state_dir)
        started_here = endpoint is None
        if endpoint is None:
            output.notice("Starting the embedded AWS ...")
            endpoint = start_detached(state_dir)
        try:
            _deploy(options, endpoint, ImageStore(image_root(detached_root(state_dir))), state_dir, output)
        except BaseException:
            if started_here:
                stop_detached(state_dir)
            raise
        _print(options, endpoint, output)
    return ExitStatus.SUCCEEDED


def down(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    """End the embedded AWS of the state folder and remove what it left there."""
    _need_the_checkout()
    from embedded.server.embedded_aws import detached_endpoint, stop_detached  # noqa: PLC0415

    with _explained():
        endpoint = detached_endpoint(options.state_dir)
        was_running = stop_detached(options.state_dir)
    _remove_if_empty(options.state_dir)
    text = "The embedded AWS has ended." if was_running else f"No embedded AWS was running in {options.state_dir}."
    output.data({"was_running": was_running}, text)
    if endpoint is not None and os.environ.get("AWS_ENDPOINT_URL") == endpoint.url:
        output.notice(
            f"This shell still points at it. Open another one, or run: unset {' '.join(endpoint.environment())}"
        )
    return ExitStatus.SUCCEEDED


def _need_the_checkout() -> None:
    """The command alone can be installed anywhere; the embedded AWS also needs the CDK app and its packages."""
    remedy = (
        "`fleetscore up` and `down` work out of a clone of the Fleetscore repository: run `make setup` there, then its "
        ".venv/bin/fleetscore, from whatever folder you like."
    )
    try:
        import embedded.cdk.deploy  # noqa: PLC0415
        import embedded.cdk.synth  # noqa: PLC0415
        import embedded.server.process  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise CommandError(f"This installation has no Python package {error.name!r}. {remedy}") from error
    if not _app().is_file():
        raise CommandError(f"There is no CDK app at {_app()}. {remedy}")


def _app() -> Path:
    import embedded  # noqa: PLC0415

    return Path(str(embedded.__file__)).resolve().parent.parent / "app.py"


def _deploy(options: Namespace, endpoint: "Endpoint", images: "ImageStore", folder: Path, output: Output) -> None:
    from embedded.cdk.deploy import deploy  # noqa: PLC0415
    from embedded.cdk.synth import synthesize  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="assembly-", dir=folder) as assembly:
        output.notice("Synthesizing the CDK app ...")
        # Here every instance of a job is a process on this machine.
        context = {"fleetscore.stage": options.stage, "fleetscore.default_max_concurrency": max(2, os.cpu_count() or 2)}
        synthesize(_app(), Path(assembly), context, endpoint=endpoint)
        deploy(Path(assembly), endpoint, images, output.notice)


def _print(options: Namespace, endpoint: "Endpoint", output: Output) -> None:
    environment = {name: value for name, value in endpoint.environment().items() if value}
    value = {"endpoint_url": endpoint.url, "stage": options.stage, "environment": environment}
    output.data(value, *export_lines(environment))


def export_lines(environment: Mapping[str, str]) -> list[str]:
    """Shell commands that point a POSIX shell's AWS clients somewhere."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    return [f"unset {' '.join(_FOREIGN)}", *exports]


@contextmanager
def _explained() -> Iterator[None]:
    """What goes wrong in the embedded AWS as a sentence."""
    from embedded.cdk.assembly import AssemblyError  # noqa: PLC0415
    from embedded.cdk.deploy import DeployError  # noqa: PLC0415
    from embedded.cdk.node import NodeNotFoundError  # noqa: PLC0415
    from embedded.cdk.synth import SynthesisError  # noqa: PLC0415
    from embedded.images.dockerfile import DockerfileError  # noqa: PLC0415
    from embedded.server.embedded_aws import EmbeddedAwsError  # noqa: PLC0415

    try:
        yield
    except (
        AssemblyError,
        DeployError,
        DockerfileError,
        EmbeddedAwsError,
        NodeNotFoundError,
        SynthesisError,
    ) as error:
        raise CommandError(str(error), ExitStatus.FAILED) from error


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a terminal that is closed, end a command as Ctrl-C does: nothing is left behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # One that is ignored, as SIGHUP is below `nohup`, stays ignored.
    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signed_in_to_nothing() -> Iterator[None]:
    """Without the shell's own account: a profile that it names would be looked up, and may not even exist."""
    foreign = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in foreign:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(foreign)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
