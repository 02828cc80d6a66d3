"""Shows the findings of `fleetscore doctor`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType

from cli.doctor.findings import Finding, Level
from cli.views.tables import counted, one_line, plain_text

_WIDTH = 21
"""Width of the column with the names of checks, in characters. Lines are shown before all names are known."""
_STYLES = {Level.OK: "", Level.WARNING: "yellow", Level.ERROR: "red"}


def findings_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the JSON value: whether the stage is ready, and every finding."""
    return {"ready": is_ready(findings), "findings": [asdict(finding) for finding in findings]}


def finding_lines(finding: Finding) -> list[RenderableType]:
    """Return the line of a finding, and what to do about it."""
    text = f"{finding.level.value:<8}{finding.check:<{_WIDTH}}{finding.subject}: {finding.found}"
    todo = [plain_text(one_line(f"{'':<{8 + _WIDTH}}To do: {finding.remedy}"))] if finding.remedy else []
    return [plain_text(one_line(text), _STYLES[finding.level]), *todo]


def closing_view(findings: Sequence[Finding]) -> list[RenderableType]:
    """Return the findings that need something to be done, the most serious last, and the numbers of all."""
    open_ones = [finding for finding in findings if finding.level is not Level.OK]
    lines: list[RenderableType] = []
    for finding in sorted(open_ones, key=lambda finding: list(Level).index(finding.level)):
        lines += finding_lines(finding)
    numbers = Counter(finding.level for finding in findings)
    verdict = "The stage is ready." if is_ready(findings) else "The stage is not ready."
    bad = [counted(numbers[Level.WARNING], "warning"), counted(numbers[Level.ERROR], "error")]
    return [*lines, "", f"{verdict} {numbers[Level.OK]:,} ok, {', '.join(bad)}."]


def is_ready(findings: Sequence[Finding]) -> bool:
    """Return whether no finding is an error."""
    return all(finding.level is not Level.ERROR for finding in findings)
