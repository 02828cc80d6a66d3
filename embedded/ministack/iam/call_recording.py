"""A recording of the calls that roles make, for comparison with their policies."""

# ministack reads its environment at import, and this package exists to reach its private names.
# ruff: noqa: PLC0415

import json
import secrets
from pathlib import Path
from typing import Any

_ROLE_SESSION = ":assumed-role/"
_recordings: list[Path] = []


def is_recording() -> bool:
    """Return whether calls of roles are recorded in this process."""
    return bool(_recordings)


def install_call_recording(folder: Path) -> None:
    """Append each distinct call of a role to a file of this process in `folder`.

    A line has the role's name, the action, the resource, and the decision of the role's own
    policies. It also has the condition keys of the first such call. Simulated calls are skipped:
    their caller is the role itself, not a session of it.
    """
    from ministack.core import iam_evaluator

    evaluate = iam_evaluator.evaluate
    seen: set[tuple[str, str, str, str]] = set()
    folder.mkdir(parents=True, exist_ok=True)
    # Kept open until the process ends, and each line is written at once.
    recording = (folder / f"calls-{secrets.token_hex(8)}.jsonl").open("w", encoding="utf-8", buffering=1)

    def evaluate_and_record(request: Any, *policies: Any) -> Any:
        result = evaluate(request, *policies)
        if _ROLE_SESSION in request.principal_arn:
            role = request.principal_arn.split("/")[1]
            call = (role, request.action, request.resource_arn, result.decision)
            if call not in seen:
                seen.add(call)
                names = ("role", "action", "resource", "decision", "context")
                recording.write(json.dumps(dict(zip(names, (*call, request.service_context), strict=True))) + "\n")
        return result

    iam_evaluator.evaluate = evaluate_and_record
    _recordings.append(folder)
