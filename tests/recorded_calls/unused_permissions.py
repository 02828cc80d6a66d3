"""Print the permissions of the stage's roles that no call of the last run of the end-to-end tests used.

A missing permission fails the tests themselves, because the embedded AWS denies the call.
"""

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.e2e.recording import ROOT, SESSION_FILE, sources_digest
from tests.recorded_calls.recorded_permissions import read_recording


def session_problems(session: dict[str, Any]) -> list[str]:
    """Return why a recording says nothing about the present sources; empty if it does."""
    files = {str(file.relative_to(ROOT)) for file in (ROOT / "tests/e2e").rglob("test_*.py")}
    missing = sorted(files - set(session["files"]))
    found = {
        "it is of other sources": session["digest"] != sources_digest(),
        f"it lacks {', '.join(missing)}": bool(missing),
        "it is of selected tests": session["selected"],
        f"tests failed: {', '.join(session['failed'])}": bool(session["failed"]),
    }
    return [text for text, holds in found.items() if holds]


def main(folder: Path) -> None:
    if not (folder / SESSION_FILE).exists():
        sys.exit(f"There is no recording of calls in {folder}: run `make test` first.")
    recording = read_recording(folder)
    if problems := session_problems(recording.session):
        sys.exit(f"The recording of calls in {folder} cannot be used: {'; '.join(problems)}. Run `make test` again.")
    unused = recording.granted - recording.used
    sys.stdout.write(f"Calls of the end-to-end tests used {len(recording.used)} permissions, and not {len(unused)}:\n")
    by_action: dict[str, list[str]] = defaultdict(list)
    for item in sorted(unused):
        by_action[item.action].append(f"  {item.role}: {item.resource}\n")
    for action, places in sorted(by_action.items()):
        sys.stdout.write(f"{action}\n{''.join(places)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
