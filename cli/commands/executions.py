"""`fleetscore run`, `status` and `watch`."""

from argparse import Namespace
from pathlib import Path

from cli.failures import CommandError, ExitStatus
from cli.output import Output
from cli.stage.connection import Connection
from cli.stage.deployment import find_deployment
from cli.stage.executions import Executions, Snapshot, check_request
from cli.views.executions import execution_view, snapshot_json
from cli.views.progress import progress_for, watch


def run(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    request = read_request(options.input)
    check_request(request)
    if options.check:
        output.data({"valid": True}, "The request is valid. Nothing was started.")
        return ExitStatus.SUCCEEDED
    executions = Executions(connection, find_deployment(connection, options.stage))
    execution_id = executions.start(request, options.name)
    if not options.wait:
        arn = executions.execution_arn(execution_id)
        output.data({"execution_id": execution_id, "execution_arn": arn}, execution_id)
        return ExitStatus.SUCCEEDED
    output.line(f"Execution {execution_id}")
    return follow(executions, execution_id, output)


def watch_execution(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    executions = Executions(connection, find_deployment(connection, options.stage))
    return follow(executions, options.execution, output)


def status(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    executions = Executions(connection, find_deployment(connection, options.stage))
    _print(executions, executions.snapshot(options.execution), output)
    return ExitStatus.SUCCEEDED


def read_request(text: str) -> str:
    """The request's JSON text, from the command line or from `@file`.

    Raises:
        CommandError: when the file cannot be read.
    """
    if not text.startswith("@"):
        return text
    path = Path(text[1:]).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--input: {path} cannot be read as text ({error}).") from error


def follow(executions: Executions, execution: str, output: Output) -> ExitStatus:
    progress = None if output.as_json else progress_for(output.console)
    try:
        snapshot = watch(executions, execution, progress)
    except KeyboardInterrupt:
        output.notice(
            f"\nThe execution goes on. Follow it again with `fleetscore watch {execution}`; "
            f"end it with `aws stepfunctions stop-execution --execution-arn {executions.find_arn(execution)}`."
        )
        return ExitStatus.INTERRUPTED
    _print(executions, snapshot, output)
    return snapshot.exit_status


def _print(executions: Executions, snapshot: Snapshot, output: Output) -> None:
    attempts = executions.attempts(snapshot.execution_id) if snapshot.jobs else {}
    output.data(snapshot_json(snapshot, attempts), *execution_view(snapshot, attempts))
