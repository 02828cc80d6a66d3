"""`fleetscore resume --uploads`: score the uploads whose executions were refused."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cli.command_line.invocation import Invocation
from cli.failures import CommandError, ExitStatus
from cli.stage.executions.executions import Executions
from cli.stage.executions.refused_uploads import RefusedUpload, RefusedUploads
from cli.stage.executions.request_check import RequestChecks
from cli.views.tables import counted
from contract.json_text import JsonError, parse_json
from contract.names import check_dataset_name
from contract.problems import InvalidInputError
from contract.status import ExecutionKind

_OF_MANIFEST = "objects_manifest "
"""Beginning of the problems of a manifest."""
_THREADS = 8
"""Requests that are checked in parallel; each takes a call of a function."""
_SHOWN = 5
"""Most executions that are shown without --json."""


def resume_uploads(invocation: Invocation, dataset: str, changes_json: str) -> ExitStatus:
    """Start an execution for each refused one whose uploads a plan would accept now; return the exit status."""
    if problems := check_dataset_name("--uploads", dataset):
        raise InvalidInputError("resume", problems)
    changes = _changes(changes_json)
    deployment, output = invocation.changed_deployment(), invocation.output
    executions = Executions(invocation.connection, deployment)
    refused = RefusedUploads(invocation.connection, deployment).find(dataset, changes)

    checks = RequestChecks(invocation.connection, invocation.stage)

    def problem_of(upload: RefusedUpload) -> str:
        found = checks.check(ExecutionKind.SCORING, parse_json(upload.request_json, keep_surrogates=True))
        return found.problems[0] if found.problems else ""

    # Each refusal by a plan would take a name.
    with ThreadPoolExecutor(_THREADS) as threads:
        reasons = list(threads.map(problem_of, refused))
    started: list[str] = []
    left: dict[str, str] = {}
    for upload, problem in zip(refused, reasons, strict=True):
        why = problem
        try:
            if not why:
                started.append(executions.start(upload.request_json, upload.next_id))
                continue
        except CommandError as error:
            # Another command has started it in this moment.
            why = str(error)
        left[upload.execution_id] = why
    value = {"started": started, "refused": [{"execution_id": name, "reason": why} for name, why in left.items()]}
    output.data(value, *_lines(dataset, started, left))
    # A manifest that names missing objects stays so. Its marker has to be written again.
    can_be_accepted = any(not why.startswith(_OF_MANIFEST) for why in left.values())
    return ExitStatus.REFUSED if can_be_accepted else ExitStatus.SUCCEEDED


def _changes(text: str) -> dict[str, Any]:
    """Return the fields that the new requests have in place of the old ones.

    Raises:
        CommandError: when they say what is scored.
    """
    try:
        changes: Any = parse_json(text, keep_surrogates=True)
    except JsonError as error:
        raise CommandError(f"--input: got {text!r}, expected a JSON object, but {error}.") from error
    if not isinstance(changes, dict):
        raise CommandError(f"--input: got {text!r}, expected a JSON object.")
    if taken := sorted({"dataset", "objects_manifest", "resume"} & changes.keys()):
        raise CommandError(f"--input: leave out {', '.join(taken)}. The uploads decide it.")
    return changes


def _lines(dataset: str, started: list[str], left: dict[str, str]) -> list[str]:
    if not started and not left:
        return [f"No uploads to {dataset} are left over from a refused execution."]
    lines = [f"Started {counted(len(started), 'execution')} over uploads to {dataset} that were refused before."]
    lines += [f"  {name}" for name in started[:_SHOWN]]
    if len(started) > _SHOWN:
        lines.append(f"  and {len(started) - _SHOWN:,} more: `fleetscore list` shows them")
    if left:
        [first, why], *_ = left.items()
        lines.append(f"{counted(len(left), 'execution')} would be refused again. The first is {first}: {why}")
    return lines
