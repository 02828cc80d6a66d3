"""Synthesis of a CDK app without the CDK CLI."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded.cdk.node import find_node
from embedded.server.endpoint import Endpoint


class SynthesisError(RuntimeError):
    """The app did not synthesize. The text is its output without tracebacks, which a note has."""


def synthesize(
    app: Path,
    output: Path,
    context: Mapping[str, Any] | None = None,
    *,
    endpoint: Endpoint | None = None,
    python: str = sys.executable,
) -> Path:
    """Run a CDK app without any AWS call and return `output`, the folder of its cloud assembly.

    Args:
        app: The app's Python file, next to its cdk.json.
        output: Folder to write.
        context: Overrides keys of cdk.json's context, as `cdk -c key=value` does.
        endpoint: Source of CDK_DEFAULT_ACCOUNT and CDK_DEFAULT_REGION.
        python: Interpreter that runs the app.

    Raises:
        SynthesisError: The app failed.
    """
    settings = app.parent / "cdk.json"
    own_context = _context(settings) if settings.exists() else {}
    environment = {
        # The app needs no account, so its packages do not get the keys of one.
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **find_node().environment(),
        "CDK_OUTDIR": str(output.resolve()),
        "CDK_CONTEXT_JSON": json.dumps({**own_context, **(context or {})}),
    }
    if endpoint is not None:
        environment |= {"CDK_DEFAULT_ACCOUNT": endpoint.account_id, "CDK_DEFAULT_REGION": endpoint.region}
    result = subprocess.run(  # noqa: S603 - the app that the caller names
        [python, str(app.resolve())], cwd=app.parent, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0 or not (output / "manifest.json").exists():
        wrote = (result.stderr.strip() or result.stdout.strip())[-20_000:]
        refused = SynthesisError(
            f"{app} did not synthesize (exit status {result.returncode}):\n{_without_frames(wrote)}"
        )
        refused.add_note(wrote)
        raise refused
    return output


def _without_frames(output: str) -> str:
    r"""Return an app's output with only the last line of a traceback.

    >>> _without_frames("a warning\nTraceback (most recent call last):\n  File ...\nKeyError: 'stage'")
    "a warning\nKeyError: 'stage'"
    """
    before, found, after = output.partition("Traceback (most recent call last):")
    return f"{before}{after.rstrip().rpartition(chr(10))[2]}" if found else output


def _context(settings: Path) -> dict[str, Any]:
    """Return the context of a cdk.json.

    Raises:
        SynthesisError: The file is not a JSON object with an object `context`.
    """
    try:
        found = json.loads(settings.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise SynthesisError(f"{settings} cannot be read as JSON ({error}). Correct the file.") from error
    context = found.get("context", {}) if isinstance(found, dict) else None
    if not isinstance(context, dict):
        raise SynthesisError(f"{settings} is not a JSON object whose field context is an object. Correct the file.")
    return context
