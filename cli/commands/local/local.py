"""`fleetscore up` and `down`: start and stop the embedded AWS."""

import os
import shlex
import signal
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.command_line.options import FILE
from cli.failures import CommandError, ExitStatus
from cli.sandbox.isolation import probe

if TYPE_CHECKING:
    from embedded.images.image_store import ImageStore
    from embedded.server.endpoint import Endpoint

_ACCOUNT_VARIABLES = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
)
"""Variables of a real account that AWS clients would combine with the embedded AWS's.

`up` unsets them, and every other AWS_ variable of its environment, such as AWS_ENDPOINT_URL_S3.
"""
_HARMLESS_VARIABLES = frozenset({"AWS_PAGER", "AWS_DEFAULT_OUTPUT"})
"""Variables about the AWS CLI's output, which `up` keeps."""

state_dir_option = click.option(
    "--state-dir",
    type=FILE,
    default=Path(".fleetscore"),
    metavar="FOLDER",
    help="Folder of the embedded AWS's files. Default: .fleetscore.",
)


@click.command(
    "up",
    cls=Command,
    examples="""
    eval "$(fleetscore up)"
    fleetscore up --foreground
    fleetscore up --persist
    """,
)
@click.option("--foreground", is_flag=True, help="Run until Ctrl-C instead of in the background.")
@click.option("--persist", is_flag=True, help="Keep all data in the folder, and continue with them at the next `up`.")
@state_dir_option
@click.pass_obj
def up(invocation: Invocation, *, foreground: bool, persist: bool, state_dir: Path) -> ExitStatus:
    """Start the embedded AWS, deploy Fleetscore to it, and print exports for this shell.

    Standard output holds only the exports, which point the shell's AWS clients at the embedded AWS
    and nowhere else. If the command fails, standard output is `false`, so that `eval` fails too.
    """
    if foreground and persist:
        raise click.UsageError("--persist keeps data of an embedded AWS in the background. Leave out --foreground.")
    require_checkout()
    from embedded.images.image_store import ImageStore  # noqa: PLC0415
    from embedded.server.detached import (  # noqa: PLC0415 - commands on an AWS account must not import the embedded AWS
        check_project,
        detached_endpoint,
        detached_root,
        has_persisted_data,
        leftover_text,
        persistence_problem,
        running_text,
        start_detached,
        stop_detached,
    )
    from embedded.server.embedded_aws import EmbeddedAws  # noqa: PLC0415
    from embedded.server.process import image_root  # noqa: PLC0415

    output = invocation.output
    with _errors_of_the_embedded_aws(), _without_aws_variables() as hidden:
        if foreground:
            output.notice(probe().summary)
            with EmbeddedAws() as aws:
                _deploy(invocation, aws.endpoint, aws.images, aws.root)
                _print_exports(invocation, aws.endpoint, hidden)
                output.notice("The embedded AWS runs until Ctrl-C.")
                with suppress(KeyboardInterrupt):
                    signal.pause()
            return ExitStatus.SUCCEEDED
        endpoint = detached_endpoint(state_dir)
        started_here = endpoint is None
        if endpoint is not None:
            check_project(state_dir)
            if persist and not has_persisted_data(state_dir):
                raise CommandError(
                    f"The embedded AWS in {state_dir.absolute()} runs without --persist, so its data cannot be "
                    "saved. Run `fleetscore down`, which deletes them, and then `fleetscore up --persist`.",
                    ExitStatus.FAILED,
                )
            output.notice(f"{running_text(state_dir)} Deploying changes to it.")
            if problem := persistence_problem(state_dir):
                output.notice(problem)
        else:
            if lost := leftover_text(state_dir):
                output.notice(lost)
            for other in _others(state_dir):
                output.notice(
                    f"Another embedded AWS runs in {other}, with data of its own, and keeps running. This one is for "
                    f"{state_dir.absolute()}. End the other with: fleetscore down --state-dir {shlex.quote(str(other))}"
                )
            output.notice("Starting the embedded AWS ...")
            output.notice(probe().summary)
            if has_persisted_data(state_dir):
                output.notice(f"It continues with the data in {state_dir.absolute()} (--persist).")
            endpoint = start_detached(state_dir, persist=persist)
        try:
            _deploy(invocation, endpoint, ImageStore(image_root(detached_root(state_dir))), state_dir)
        except BaseException:
            if started_here:
                stop_detached(state_dir)
            raise
        _print_exports(invocation, endpoint, hidden)
    return ExitStatus.SUCCEEDED


@click.command("down", cls=Command, examples="fleetscore down")
@click.option("--delete-data", is_flag=True, help="Also delete the data that `up --persist` has saved.")
@state_dir_option
@click.pass_obj
def down(invocation: Invocation, *, delete_data: bool, state_dir: Path) -> ExitStatus:
    """Stop the embedded AWS and remove its files, except the data of `up --persist`."""
    require_checkout()
    from embedded.server.detached import (  # noqa: PLC0415
        detached_endpoint,
        has_persisted_data,
        leftover_text,
        persistence_problem,
        stop_detached,
    )

    with _errors_of_the_embedded_aws():
        endpoint = detached_endpoint(state_dir)
        lost = leftover_text(state_dir)
        was_running = stop_detached(state_dir, delete_data=delete_data)
    _remove_if_empty(state_dir)
    text = "The embedded AWS has ended." if was_running else f"No embedded AWS was running in {state_dir.absolute()}."
    invocation.output.data({"was_running": was_running}, text)
    if lost:
        invocation.output.notice(lost)
    if has_persisted_data(state_dir):
        invocation.output.notice(
            f"Its data stay in {state_dir.absolute()}: `fleetscore up` continues with them, "
            "`fleetscore down --delete-data` deletes them."
        )
        if problem := persistence_problem(state_dir):
            invocation.output.notice(problem)
    if not was_running:
        for other in _others(state_dir):
            invocation.output.notice(
                f"One runs in {other}. To end it: fleetscore down --state-dir {shlex.quote(str(other))}"
            )
    if endpoint is not None and os.environ.get("AWS_ENDPOINT_URL") == endpoint.url:
        invocation.output.notice(
            "This shell still points at the embedded AWS that has ended. "
            f"Open another shell, or run: unset {' '.join(_own_variables(endpoint))}"
        )
    return ExitStatus.SUCCEEDED


def _others(state_dir: Path) -> list[Path]:
    """Return the folders of the other embedded AWSs of this user."""
    from embedded.server.running_servers import running_state_dirs  # noqa: PLC0415

    return [folder for folder in running_state_dirs() if folder != state_dir.resolve()]


def _own_variables(endpoint: "Endpoint") -> list[str]:
    """Return the variables that only the embedded AWS needs.

    Exceptions from a proxy may have been there before.
    """
    from embedded.server.endpoint import PROXY_EXCEPTIONS  # noqa: PLC0415

    return [name for name in endpoint.environment() if name not in PROXY_EXCEPTIONS]


def require_checkout() -> None:
    """Check that the CDK app and the packages of the embedded AWS are installed.

    They are in a clone of the repository, not in an installation of the command alone.

    Raises:
        CommandError: naming what is missing.
    """
    remedy = (
        "`fleetscore up`, `down` and `faults` need a clone of the Fleetscore repository: run `make setup` there, then "
        "its .venv/bin/fleetscore from any folder."
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


def _deploy(invocation: Invocation, endpoint: "Endpoint", images: "ImageStore", folder: Path) -> None:
    from embedded.cdk.deploy import deploy  # noqa: PLC0415
    from embedded.cdk.synth import synthesize  # noqa: PLC0415

    output = invocation.output
    with tempfile.TemporaryDirectory(prefix="assembly-", dir=folder) as assembly:
        output.notice("Synthesizing the CDK app ...")
        # Each instance of a job is a process on this machine, so more jobs than cores gain nothing.
        context = {
            "fleetscore.stage": invocation.stage,
            "fleetscore.default_max_concurrency": max(2, os.cpu_count() or 2),
            # The embedded AWS takes any number of requests per second.
            "fleetscore.job_starts_per_second": 100,
        }
        synthesize(_app(), Path(assembly), context, endpoint=endpoint)
        deploy(Path(assembly), endpoint, images, output.notice)


def _print_exports(invocation: Invocation, endpoint: "Endpoint", hidden: Iterable[str]) -> None:
    environment = {name: value for name, value in endpoint.shell_environment().items() if value}
    unset = variables_to_unset(environment, hidden)
    value = {"endpoint_url": endpoint.url, "stage": invocation.stage, "environment": environment, "unset": unset}
    place = f"account {endpoint.account_id}, Region {endpoint.region}, {endpoint.url}"
    invocation.output.notice(f"Stage {invocation.stage} in {place}")
    invocation.output.data(value, *export_lines(environment, unset))


def variables_to_unset(environment: Mapping[str, str], present: Iterable[str]) -> list[str]:
    """Return the shell's variables that would make AWS clients leave this environment."""
    found = {name for name in present if name.startswith("AWS_")} | {*_ACCOUNT_VARIABLES}
    return sorted(found - environment.keys() - _HARMLESS_VARIABLES)


def export_lines(environment: Mapping[str, str], unset: Sequence[str]) -> list[str]:
    """Return commands that make a POSIX shell's AWS clients use this environment.

    >>> export_lines({"AWS_REGION": "us-east-1"}, ["AWS_PROFILE"])
    ['unset AWS_PROFILE', 'export AWS_REGION=us-east-1']
    """
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    return [f"unset {' '.join(unset)}", *exports]


@contextmanager
def _errors_of_the_embedded_aws() -> Iterator[None]:
    """Convert errors of the embedded AWS to CommandError."""
    from embedded.cdk.assembly import AssemblyError  # noqa: PLC0415
    from embedded.cdk.deploy import DeployError  # noqa: PLC0415
    from embedded.cdk.node import NodeNotFoundError  # noqa: PLC0415
    from embedded.cdk.synth import SynthesisError  # noqa: PLC0415
    from embedded.images.dockerfile import DockerfileError  # noqa: PLC0415
    from embedded.server.launch import EmbeddedAwsError  # noqa: PLC0415

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
    except ConnectionError:
        raise
    except OSError as error:
        remedy = "Check that you may write to the folder and that its disk is not full, or use another --state-dir."
        raise CommandError(
            f"A file of the embedded AWS cannot be used: {error}. {remedy}", ExitStatus.FAILED
        ) from error


@contextmanager
def _without_aws_variables() -> Iterator[Mapping[str, str]]:
    """Hide and yield the shell's AWS variables, which could redirect clients, inside the block."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in hidden:
        del os.environ[name]
    try:
        yield hidden
    finally:
        os.environ.update(hidden)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
