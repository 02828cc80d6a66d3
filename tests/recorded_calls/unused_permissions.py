"""Compare the permissions of roles with the calls of the last end-to-end test run.

It fails if a role has a permission that no call used and no reason in `reasons.py` covers, or if a
reason covers no permission. A missing permission fails the tests themselves, because the embedded
AWS denies the call.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.recording import ROOT, SESSION_FILE, sources_digest
from tests.recorded_calls.reasons import REASONS, Reason
from tests.recorded_calls.recorded_permissions import Recording, read_recording

_WHAT_TO_DO = """\
For each of them, do one of these:
  - Remove the permission from its role, in infra/.
  - Add a test to tests/e2e that needs the permission, if a call of ours does.
  - If AWS itself uses it, or the CDK grants it together with one that is needed, add the reason to
    tests/recorded_calls/reasons.py.
"""


def session_problems(session: dict[str, Any]) -> list[str]:
    """Return why a recording does not describe the current sources; empty if it does."""
    files = {str(file.relative_to(ROOT)) for file in (ROOT / "tests/e2e").rglob("test_*.py")}
    missing = sorted(files - set(session["files"]))
    found = {
        "it is of other sources": session["digest"] != sources_digest(),
        f"it lacks {', '.join(missing)}": bool(missing),
        "it is of selected tests": session["selected"],
        f"tests failed: {', '.join(session['failed'])}": bool(session["failed"]),
    }
    return [text for text, holds in found.items() if holds]


def comparison_problems(recording: Recording, reasons: Sequence[Reason]) -> Iterator[str]:
    """Yield one text per kind of difference between granted, used and explained permissions."""
    unused = sorted(recording.granted - recording.used)
    if unexplained := [item for item in unused if not any(reason.covers(item) for reason in reasons)]:
        lines = "".join(f"  {item}\n" for item in unexplained)
        skipped = recording.session["skipped"]
        hint = f"Tests that were skipped may need it: {', '.join(skipped)}.\n" if skipped else ""
        yield f"No end-to-end test uses these permissions:\n{lines}{hint}{_WHAT_TO_DO}"
    stale = [reason for reason in reasons if not any(reason.covers(item) for item in recording.granted)]
    if stale:
        lines = "".join(f"  {reason}\n" for reason in stale)
        yield f"These reasons cover no permission of a role. Remove them from tests/recorded_calls/reasons.py:\n{lines}"


def main(folder: Path) -> None:
    if not (folder / SESSION_FILE).exists():
        sys.exit(f"There is no recording of calls in {folder}: run `make test` first.")
    recording = read_recording(folder)
    if problems := session_problems(recording.session):
        sys.exit(f"The recording of calls in {folder} cannot be used: {'; '.join(problems)}. Run `make test` again.")
    if found := list(comparison_problems(recording, REASONS)):
        sys.exit("\n".join(found))
    explained = len(recording.granted - recording.used)
    sys.stdout.write(
        f"The roles have {len(recording.granted)} permissions: calls of the end-to-end tests used "
        f"{len(recording.granted) - explained}, and reasons explain the other {explained}.\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
